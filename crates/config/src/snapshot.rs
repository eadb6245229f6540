//! Structs of typed values, one field for each setting the code reads, so that reading one costs a field access.

/// Declares a struct whose fields are settings: `field: type = "setting",`.
macro_rules! snapshot {
    ($(#[$meta:meta])* $vis:vis $name:ident of $scope:ident { $($field:ident: $type:ty = $setting:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $(#[doc = concat!("`", $setting, "`.")] $vis $field: $type,)+
        }

        impl $name {
            /// Names of the settings that have a field.
            #[cfg(test)]
            pub(crate) const NAMES: &'static [&'static str] = &[$($setting),+];

            fn read(value: impl Fn(&'static $crate::setting::Setting) -> $crate::value::Value) -> Self {
                Self {
                    $($field: $crate::value::FromValue::from_value(
                        value($crate::table::known($crate::setting::Scope::$scope, $setting)),
                    ),)+
                }
            }
        }

        $crate::snapshot::snapshot!(@set $scope $name { $($field = $setting,)+ });
    };
    (@set Broker $name:ident { $($field:ident = $setting:literal,)+ }) => {};
    (@set Topic $name:ident { $($field:ident = $setting:literal,)+ }) => {
        impl $name {
            /// Replaces the field of this setting, if it has one.
            fn set(&mut self, name: &str, value: $crate::value::Value) {
                match name {
                    $($setting => self.$field = $crate::value::FromValue::from_value(value),)+
                    _ => {}
                }
            }
        }
    };
}

pub(crate) use snapshot;
