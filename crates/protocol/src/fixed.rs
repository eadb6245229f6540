//! Values of fixed size, whose arrays are read and written as one block.

use crate::Uuid;

/// A value whose size never varies; what fast arrays are made of.
pub trait Fixed: Copy {
    /// Its size in bytes.
    const SIZE: usize;
    /// From exactly [`SIZE`](Self::SIZE) bytes.
    fn from_wire(bytes: &[u8]) -> Self;
    /// Appends its bytes.
    fn to_wire(self, bytes: &mut Vec<u8>);
}

macro_rules! fixed_numbers {
    ($($number:ty),*) => {$(
        impl Fixed for $number {
            const SIZE: usize = size_of::<Self>();

            #[inline]
            fn from_wire(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<Self>()];
                array.copy_from_slice(bytes);
                Self::from_be_bytes(array)
            }

            #[inline]
            fn to_wire(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

fixed_numbers!(i8, i16, i32, i64, u16, u32, f64);

impl Fixed for Uuid {
    const SIZE: usize = 16;

    #[inline]
    fn from_wire(bytes: &[u8]) -> Self {
        let mut id = Self::ZERO;
        id.0.copy_from_slice(bytes);
        id
    }

    #[inline]
    fn to_wire(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
    }
}
