//! Reading the golden files.

use std::{fs, path::PathBuf};

/// One line of `golden/messages`.
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) version: i16,
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

/// All lines of `golden/messages`.
pub(crate) fn vectors() -> Vec<Vector> {
    let lines = files("messages").into_iter().flat_map(|(_, text)| lines(&text));
    lines
        .map(|line| {
            let mut words = line.splitn(5, ' ');
            let mut word = || words.next().expect("name, version, kind, hex").to_owned();
            let (name, version, kind) = (word(), word(), word());
            Vector { name, version: version.parse().expect("a version"), kind, bytes: unhex(&word()) }
        })
        .collect()
}

/// The files of one golden folder, by rising name.
pub(crate) fn files(folder: &str) -> Vec<(String, String)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder);
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("the golden folder")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let text = fs::read_to_string(entry.path()).expect("text");
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    files.sort();
    files
}

pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a hex digit") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
