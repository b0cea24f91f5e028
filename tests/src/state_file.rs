//! The file in which the extension keeps the inventory over a restart, as large as it gets.
//!
//! Written here once more, and not by the extension's own writer: so a change of the format shows.

use openssl::sha::sha256;

/// A state file with this many certificates, each with as much as an entry has room for.
///
/// # Panics
/// Never: a record is shorter than its length can say.
pub fn state_file(count: u32) -> Vec<u8> {
    let mut file = b"PGTLSEXT".to_vec();
    file.extend(2_u32.to_le_bytes());
    let put = |record: &mut Vec<u8>, bytes: &[u8]| {
        record.extend(u32::try_from(bytes.len()).expect("a record is short").to_le_bytes());
        record.extend(bytes);
    };
    let names = |letter: u8| [&[letter; 63][..], b"\0"].concat().repeat(8);
    for number in 0..count {
        let mut record = vec![3];
        record.extend(sha256(&number.to_le_bytes()));
        for moment in [1, 1_000_000 - i64::from(number), 1, 0] {
            record.extend(moment.to_le_bytes());
        }
        put(&mut record, &[127, 0, 0, 1]);
        put(&mut record, &[7; 4096]);
        put(&mut record, &names(b'r'));
        put(&mut record, &names(b'd'));
        put(&mut file, &record);
    }
    file.extend(0_u32.to_le_bytes());
    let sum = sha256(&file);
    file.extend(sum);
    file
}
