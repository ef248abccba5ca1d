//! Lines of any file, in bounded memory: of a line that is too long only the beginning is given, and the rest is skipped as it streams by.
//! Files that end in .gz, or begin like gzip, are unpacked on the way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::limits::LINE_BYTES_MAX;

/// The two bytes with which gzip files begin (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads a file, through gzip if it is packed.
///
/// # Errors
/// When it cannot be opened or its beginning cannot be read.
pub fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut plain = BufReader::with_capacity(1 << 16, File::open(file)?);
    let packed = plain.fill_buf()?.starts_with(&GZIP);
    Ok(if packed { Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(plain))) } else { Box::new(plain) })
}

/// Lines, one after the other.
pub struct Lines<R> {
    from: R,
    line: Vec<u8>,
    bytes_max: usize,
    /// How many lines were longer than the bound.
    pub too_long: u64,
    /// How many bytes were read.
    pub bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most [`LINE_BYTES_MAX`] bytes.
    pub fn new(from: R) -> Self {
        Self::with_bound(from, LINE_BYTES_MAX)
    }

    /// Lines of at most so many bytes.
    pub fn with_bound(from: R, bytes_max: usize) -> Self {
        Self { from, line: Vec::new(), bytes_max, too_long: 0, bytes: 0 }
    }

    /// The next line without its end; bytes that are not UTF-8 become U+FFFD. `None`: the file has ended.
    ///
    /// # Errors
    /// When reading fails, also in the middle of a damaged gzip file.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        self.line.clear();
        if !self.fill(b'\n')? {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&self.line).into_owned()))
    }

    /// Reads up to `end`, which is left out, and keeps as much as the bound allows. Returns whether there was anything.
    fn fill(&mut self, end: u8) -> io::Result<bool> {
        let (mut any, mut cut) = (false, false);
        loop {
            let piece = match self.from.fill_buf() {
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if piece.is_empty() {
                break;
            }
            any = true;
            let stop = piece.iter().position(|byte| *byte == end);
            let text = &piece[..stop.unwrap_or(piece.len())];
            let room = self.bytes_max - self.line.len();
            cut |= text.len() > room;
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            let used = stop.map_or(piece.len(), |at| at + 1);
            self.bytes += used as u64;
            self.from.consume(used);
            if stop.is_some() {
                break;
            }
        }
        self.too_long += u64::from(cut);
        Ok(any)
    }

    /// Reads exactly so many bytes and keeps as many as the bound allows; for formats that tell a length.
    ///
    /// # Errors
    /// When reading fails, or the file ends before.
    pub fn next_bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut kept = Vec::new();
        let keep = length.min(self.bytes_max as u64);
        self.from.by_ref().take(keep).read_to_end(&mut kept)?;
        let skipped = io::copy(&mut self.from.by_ref().take(length - keep), &mut io::sink())?;
        self.bytes += kept.len() as u64 + skipped;
        if kept.len() as u64 + skipped < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(kept) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn all(bytes: &[u8], bound: usize) -> (Vec<String>, u64) {
        let mut lines = Lines::with_bound(BufReader::with_capacity(3, bytes), bound);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push(line);
        }
        (found, lines.too_long)
    }

    #[test]
    fn lines_are_cut_at_the_bound_and_the_next_is_whole() {
        assert_eq!(all(b"one\r\n\ntwelve\nend", 5), (vec!["one".into(), "".into(), "twelv".into(), "end".into()], 1));
        assert_eq!(all(b"12345\n", 5), (vec!["12345".into()], 0), "just as long as the bound");
        assert_eq!(all(b"", 5), (vec![], 0));
        assert_eq!(all(b"\xff\n", 5).0, ["\u{fffd}"]);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut lines = Lines::new(BufReader::new(io::repeat(b'x').take(1 << 24)));
        let line = lines.next_line().unwrap().unwrap();
        assert_eq!((line.len(), lines.too_long, lines.bytes), (LINE_BYTES_MAX, 1, 1 << 24));
        assert!(lines.line.capacity() <= 2 * LINE_BYTES_MAX);
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn packed_files_are_unpacked_and_damaged_ones_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kern.log.2.gz");
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"first\nsecond\n").unwrap();
        let packed = packer.finish().unwrap();
        std::fs::write(&path, &packed).unwrap();
        let mut lines = Lines::new(open(&path).unwrap());
        assert_eq!(lines.next_line().unwrap().as_deref(), Some("first"));
        assert_eq!(lines.next_line().unwrap().as_deref(), Some("second"));
        assert_eq!(lines.next_line().unwrap(), None);
        std::fs::write(&path, &packed[..packed.len() - 9]).unwrap();
        let mut lines = Lines::new(open(&path).unwrap());
        let end = std::iter::repeat_with(|| lines.next_line()).take(5).find(Result::is_err);
        assert!(end.is_some(), "the missing end is told");
    }
}
