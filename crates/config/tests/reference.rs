//! `docs/settings.md` is what the table says. `UPDATE_DOCS=1 cargo test -p klamm-config` writes it anew.

use std::path::Path;

#[test]
fn the_settings_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let page = klamm_config::reference::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/settings.md is out of date: UPDATE_DOCS=1 cargo test -p klamm-config");
}
