//! Log directory ids with a meaning of their own (KIP-858).

use klamm_protocol::Uuid;

/// The replica was placed before directories had ids.
pub const MIGRATING: Uuid = Uuid::ZERO;
/// The broker has not yet said which directory it chose.
pub const UNASSIGNED: Uuid = reserved(1);
/// The directory is gone, or its disk failed.
pub const LOST: Uuid = reserved(2);

/// The first hundred ids are reserved for such meanings; no directory may register with one.
pub fn is_reserved(id: Uuid) -> bool {
    let (high, low) = id.0.split_at(15);
    high.iter().all(|&byte| byte == 0) && low[0] < 100
}

/// Whether a replica in `directory` can serve, on a broker whose online directories are `online`. A broker that registered none is
/// taken at its word: it would not run with all of them lost.
pub fn is_online(directory: Uuid, online: &[Uuid]) -> bool {
    match directory {
        UNASSIGNED | MIGRATING => true,
        LOST => false,
        _ => online.is_empty() || online.contains(&directory),
    }
}

const fn reserved(number: u8) -> Uuid {
    let mut bytes = [0; 16];
    bytes[15] = number;
    Uuid(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_online() {
        let disk = Uuid([7; 16]);
        let other = Uuid([8; 16]);
        for (id, is_reserved_id) in
            [(MIGRATING, true), (LOST, true), (reserved(99), true), (reserved(100), false), (disk, false)]
        {
            assert_eq!(is_reserved(id), is_reserved_id, "{id:?}");
        }
        let cases = [(UNASSIGNED, true), (MIGRATING, true), (LOST, false), (disk, true), (other, false)];
        for (id, online) in cases {
            assert_eq!(is_online(id, &[disk]), online, "{id:?}");
        }
        assert!(is_online(other, &[]));
    }
}
