//! What a change of a batch's header does to its CRC, without reading the body.
//!
//! CRC-32C is linear over GF(2): if the bytes in front of a body change their own CRC by `d`, the CRC of the whole
//! changes by `d` times x to the power of the body's length in bits, modulo the polynomial.

/// The Castagnoli polynomial, bits reversed: the highest bit is the coefficient of x⁰.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// x to the power of 8·2ⁿ, for every n.
const POWERS: [u32; 32] = powers();

/// `difference` times x to the power of 8·`len`.
pub(crate) fn shifted(difference: u32, len: usize) -> u32 {
    if difference == 0 {
        return 0;
    }
    let bits = (0..POWERS.len()).filter(|bit| len >> bit & 1 == 1);
    bits.fold(difference, |shifted, bit| multiply(POWERS[bit], shifted))
}

/// Product of two polynomials modulo the CRC's.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        product ^= b & (a >> bit & 1).wrapping_neg();
        b = b >> 1 ^ POLYNOMIAL & (b & 1).wrapping_neg();
    }
    product
}

const fn powers() -> [u32; 32] {
    let mut powers = [0; 32];
    // x to the power of 8.
    let mut power = 1 << (31 - 8);
    let mut n = 0;
    while n < 32 {
        powers[n] = power;
        power = multiply(power, power);
        n += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_front_shifts_into_the_whole() {
        let body: Vec<u8> = (0..70_000u32).map(|i| (i.wrapping_mul(i) >> 3) as u8).collect();
        let (old, new) = (crc32c::crc32c(b"before"), crc32c::crc32c(b"behind"));
        for len in [0, 1, 2, 3, 61, 255, 256, 4096, 65_535, 70_000] {
            let expected = crc32c::crc32c_append(new, &body[..len]);
            let whole = crc32c::crc32c_append(old, &body[..len]);
            assert_eq!(whole ^ shifted(old ^ new, len), expected, "{len}");
        }
    }
}
