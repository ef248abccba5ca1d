//! Writes what the fuzz targets begin with: one file for each kind of frame.
//!
//!     cargo run --release -p sekisho-native --example corpus -- fuzz/corpus
//!
//! The files are tracked; this makes them again, and more of them when a kind is added here.

use sekisho_native::frames::{Frame, flags, option};
use sekisho_native::types::OFFER_ALL;
use sekisho_native::{Parsed, invariants};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Keys, cookie time and beginning of the newer key, as `invariants::split_control` reads them.
const HEAD: [u8; 10] = [1, 2, 0x10, 0x27, 0, 0, 0x0f, 0x27, 0, 1];

fn main() -> Result<(), Box<dyn Error>> {
    let root: PathBuf = std::env::args_os().nth(1).ok_or("usage: corpus FOLDER")?.into();
    for (name, frame) in kinds()? {
        write(&root, "parse", &name, &frame)?;
        write(&root, "cookie", &name, &[&HEAD[..], &frame].concat())?;
        write(&root, "answer", &name, &[&HEAD[..], &frame].concat())?;
        if let Some(ack) = cookie_ack(&frame) {
            write(&root, "cookie", &format!("{name}-ack"), &[&HEAD[..], &ack].concat())?;
        }
    }
    Ok(())
}

fn write(root: &Path, target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = root.join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), bytes)
}

/// A frame's bytes and its kind's name.
type Named = (String, Vec<u8>);

/// Every kind of frame.
fn kinds() -> Result<Vec<Named>, Box<dyn Error>> {
    let four = Frame { options: linux(), ..Frame::syn("198.51.100.1".parse()?, "203.0.113.1".parse()?) };
    let six = Frame { options: linux(), ..Frame::syn("2001:db8::1".parse()?, "2001:db8::2".parse()?) };
    let mut all = Vec::new();
    for (family, base) in [("v4", &four), ("v6", &six)] {
        for (kind, frame) in of_both_families(base) {
            all.push((format!("{family}-{kind}"), frame.build()));
        }
        all.push((format!("{family}-cut"), base.build()[..60].to_vec()));
    }
    for (kind, frame) in of_one_family(&four, &six) {
        all.push((kind.to_owned(), frame.build()));
    }
    Ok(all)
}

fn of_both_families(base: &Frame) -> Vec<(&'static str, Frame)> {
    let with_options = |list: &[Vec<u8>]| Frame { options: option::list(list), ..base.clone() };
    let with_flags = |flags: u8| Frame { flags, options: Vec::new(), ..base.clone() };
    let windows =
        [option::mss(1460), option::nop(), option::window_scale(8), option::nop(), option::nop(), option::sack()];
    let data = [option::nop(), option::nop(), option::timestamps(7, 8)];
    vec![
        ("syn-linux", base.clone()),
        ("syn-windows", with_options(&windows)),
        ("syn-bare", with_options(&[])),
        ("syn-reversed", with_options(&[option::timestamps(5, 0), option::window_scale(14), option::mss(536)])),
        ("syn-wrong-length", with_options(&[option::mss(1460), vec![8, 1, 9, 9]])),
        ("syn-ecn", Frame { flags: flags::SYN | flags::ECE | flags::CWR, ..base.clone() }),
        ("syn-vlan", Frame { tags: vec![(0x8100, 5)], ..base.clone() }),
        ("syn-qinq", Frame { tags: vec![(0x88a8, 5), (0x8100, 6)], ..base.clone() }),
        ("data", Frame { flags: flags::ACK, payload: b"data".to_vec(), ..with_options(&data) }),
        ("syn-ack", Frame { flags: flags::SYN | flags::ACK, ..base.clone() }),
        ("rst", with_flags(flags::RST)),
        ("fin", with_flags(flags::FIN)),
        ("none", with_flags(0)),
        ("itself", Frame { destination: base.source, destination_port: base.source_port, ..base.clone() }),
    ]
}

fn of_one_family(four: &Frame, six: &Frame) -> Vec<(&'static str, Frame)> {
    let extensions =
        |list: &[u8]| Frame { extensions: list.iter().map(|number| (*number, vec![0; 7])).collect(), ..six.clone() };
    vec![
        ("v4-ip-options", Frame { ip_options: vec![1; 40], ..four.clone() }),
        ("v4-fragment", Frame { fragment: 0x2000, ..four.clone() }),
        ("v6-extensions", extensions(&[0, 60, 43, 60])),
        ("v6-long-chain", extensions(&[0, 60, 43, 60, 60])),
        ("v6-fragment", extensions(&[0, 44])),
        ("v6-unknown", extensions(&[51])),
    ]
}

fn linux() -> Vec<u8> {
    let (mss, scale) = (option::mss(1460), option::window_scale(7));
    option::list(&[mss, option::sack(), option::timestamps(0x0102_0304, 0), option::nop(), scale])
}

/// The ACK that completes a cookie made for this SYN with the keys in [`HEAD`].
fn cookie_ack(syn: &[u8]) -> Option<Vec<u8>> {
    let (control, now, _) = invariants::split_control(&HEAD)?;
    let (Parsed::Tcp, packet) = sekisho_native::parse(syn) else { return None };
    let segment = sekisho_native::reference::Segment::from_packet(&packet);
    let kept = sekisho_native::cookie_keep(&packet, &sekisho_native::options(syn, &packet), OFFER_ALL);
    let made = invariants::make(&control, &packet, &kept, now);
    let echo = option::list(&[option::nop(), option::nop(), option::timestamps(9, made.timestamp)]);
    let ack = Frame {
        source_port: segment.source_port,
        destination_port: segment.destination_port,
        sequence: segment.sequence.wrapping_add(1),
        acknowledgement: made.sequence.wrapping_add(1),
        flags: flags::ACK,
        options: if kept.timestamps != 0 { echo } else { Vec::new() },
        ..Frame::syn(segment.source, segment.destination)
    };
    Some(ack.build())
}
