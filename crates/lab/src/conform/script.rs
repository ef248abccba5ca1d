//! The language of conversations: from text to steps.
//!
//! A file holds cases. A case begins with `case NAME`, says what it is about, and then what is sent, expected and looked at, a line each;
//! `#` begins a comment. docs/operations/conformance.md explains the language for whoever wants to write one. In short:
//!
//! ```text
//! case data-in-the-ack
//!     about   The handshake's third segment may carry the request.
//!     rule    RFC 9293, 3.10.7.4
//!     > SYN mss=1460 sack ts wscale=7
//!     < SYN,ACK
//!     > ACK data="hello"
//!     reads "hello"
//! ```
//!
//! Numbers are relative: `seq` and `ack` of what is sent are added to what the connection has come to, so that 0, the default, is what a
//! sound stack would send.

use std::time::Duration;

use super::wire::{ACK, CWR, ECE, FIN, PSH, RST, SYN, URG};

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What must hold, in a sentence.
    pub about: String,
    /// The sections of the standards that ask for it.
    pub rule: String,
    /// What listens.
    pub service: Service,
    /// Who is known to do otherwise, by name, and why that is on purpose.
    pub except: Option<(Vec<String>, String)>,
    /// The only family that it makes sense for.
    pub family: Option<u8>,
    pub(super) steps: Vec<Step>,
}

/// What the server does once a connection is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Sends back what it reads, until the client is done.
    Echo,
    /// Speaks first, and then reads until the client is done.
    Greet,
    /// Reads, answers, and is done before the client is.
    Answer,
}

/// A line of a case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// As it was written.
    pub(super) text: String,
    /// The connection that it is about; 0 unless the line begins with a name.
    pub(super) flow: usize,
    pub(super) act: Act,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    /// `flow NAME [address=same] [port=same]`: another connection, from elsewhere unless said otherwise.
    Flow { same_address: bool, same_port: bool },
    /// `> FLAGS ...`.
    Send(Shape),
    /// `< FLAGS ...`.
    Expect(Shape),
    /// `open ...`: a whole handshake with these options.
    Open(Shape),
    /// `again`: what was sent last, once more.
    Again,
    /// `writes TEXT` or `writes BYTES`: data, sent again until it is acknowledged.
    Writes(Vec<u8>),
    /// `reads TEXT` or `reads BYTES`: the next that the server says.
    Reads(Vec<u8>),
    /// `closes`: FIN, sent again until it is acknowledged.
    Closes,
    /// `closed`: the server is done too.
    Closed,
    /// `rejected`: an RST, or nothing; and no connection.
    Rejected,
    /// `silent TIME`: nothing comes.
    Silent(Duration),
    /// `wait TIME`.
    Wait(Duration),
    /// `socket ...`: what the server's own socket has come to.
    Socket(Vec<(String, Option<u64>)>),
    /// `no-socket`: the server has no connection with us.
    NoSocket,
    /// `too-big MTU`: a router says that the last segment did not fit.
    TooBig(u16),
    /// `withhold`: nothing is acknowledged until the next ACK that the script sends.
    Withhold,
    /// `extension KIND`: what stands between IP's header and TCP's from now on.
    Extension(Extension),
}

/// What may stand between IP's header and TCP's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Extension {
    #[default]
    None,
    HopByHop,
    Destination,
    Both,
    /// A fragment header that says that this is the whole (RFC 6946).
    AtomicFragment,
    /// IPv4 options: no-operation four times.
    Ipv4Options,
}

/// A segment to send, or to expect.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shape {
    pub(super) flags: u8,
    /// Added to the number that is due.
    pub(super) seq: i64,
    pub(super) ack: i64,
    pub(super) any_ack: bool,
    pub(super) window: Option<u16>,
    pub(super) mss: Option<u16>,
    pub(super) scale: Option<u8>,
    pub(super) sack: bool,
    pub(super) timestamps: bool,
    /// Added to the timestamp that is due.
    pub(super) old: u32,
    /// Options byte by byte.
    pub(super) raw: Vec<u8>,
    pub(super) data: Vec<u8>,
    pub(super) bad_checksum: bool,
    /// `lost`: counts as sent, and never arrives.
    pub(super) ghost: bool,
    pub(super) without: Vec<String>,
    pub(super) with: Vec<String>,
    pub(super) len_max: Option<usize>,
    pub(super) within: Option<Duration>,
}

/// A mistake in a script, with its line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Reads the cases of a file.
///
/// # Errors
///
/// The first mistake.
pub fn parse(text: &str) -> Result<Vec<Case>, Mistake> {
    let mut cases = Vec::new();
    let mut flows: Vec<String> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words = words(line).map_err(|what| Mistake { line: at + 1, what })?;
        let Some((first, rest)) = words.split_first() else { continue };
        let wrong = |what: String| Mistake { line: at + 1, what };
        if first == "case" {
            flows = vec!["client".into()];
            cases.push(begin(rest).map_err(wrong)?);
            continue;
        }
        let case = cases.last_mut().ok_or_else(|| wrong("no case yet".into()))?;
        if head(case, first, rest).map_err(wrong)? {
            continue;
        }
        let (flow, words) = match flows.iter().position(|name| name == first) {
            Some(flow) => (flow, rest),
            None => (0, &words[..]),
        };
        let (verb, arguments) = words.split_first().ok_or_else(|| wrong("a flow, and nothing to do".into()))?;
        let flow = if verb == "flow" { declare(&mut flows, arguments).map_err(wrong)? } else { flow };
        let act = act(verb, arguments).map_err(wrong)?;
        case.steps.push(Step { text: line.trim().to_owned(), flow, act });
    }
    Ok(cases)
}

/// Splits a line at blanks; what is in quotes stays together, and loses them. A `#` outside of quotes begins a comment.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut any) = (false, false);
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            '#' if !quoted => break,
            c if c.is_whitespace() && !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    any = false;
                }
            }
            c => word.push(c),
        }
    }
    if quoted {
        return Err("a quote without its end".into());
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

fn begin(rest: &[String]) -> Result<Case, String> {
    let [name] = rest else { return Err("a case has one name".into()) };
    Ok(Case {
        name: name.clone(),
        about: String::new(),
        rule: String::new(),
        service: Service::Echo,
        except: None,
        family: None,
        steps: Vec::new(),
    })
}

/// Whether the line says something about the case; it is then taken in.
fn head(case: &mut Case, first: &str, rest: &[String]) -> Result<bool, String> {
    let text = rest.join(" ");
    match first {
        "about" => case.about = text,
        "rule" => case.rule = text,
        "except" => {
            let (names, why) = text.split_once(": ").ok_or("except WHO,WHO: WHY")?;
            case.except = Some((names.split(',').map(Into::into).collect(), why.into()));
        }
        "service" => {
            case.service = match &text[..] {
                "echo" => Service::Echo,
                "greet" => Service::Greet,
                "answer" => Service::Answer,
                _ => return Err(format!("no service {text}: echo, greet or answer")),
            };
        }
        "family" => {
            let family = text.parse().ok().filter(|family| [4, 6].contains(family));
            case.family = Some(family.ok_or("a family is 4 or 6")?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn declare(flows: &mut Vec<String>, arguments: &[String]) -> Result<usize, String> {
    let name = arguments.first().ok_or("a flow has a name")?;
    if flows.contains(name) {
        return Err(format!("there is a flow {name} already"));
    }
    flows.push(name.clone());
    Ok(flows.len() - 1)
}

fn act(verb: &str, arguments: &[String]) -> Result<Act, String> {
    let one = || arguments.first().ok_or_else(|| format!("{verb} what?"));
    Ok(match verb {
        "flow" => Act::Flow {
            same_address: arguments.iter().any(|word| word == "address=same" || word == "port=same"),
            same_port: arguments.iter().any(|word| word == "port=same"),
        },
        ">" => Act::Send(shape(arguments)?),
        "<" => Act::Expect(shape(arguments)?),
        "open" => Act::Open(options(Shape { flags: SYN, ..usual(arguments) }, arguments)?),
        "again" => Act::Again,
        "writes" => Act::Writes(content(one()?)),
        "reads" => Act::Reads(content(one()?)),
        "closes" => Act::Closes,
        "closed" => Act::Closed,
        "rejected" => Act::Rejected,
        "silent" => Act::Silent(time(one()?)?),
        "wait" => Act::Wait(time(one()?)?),
        "socket" => Act::Socket(arguments.iter().map(|word| pair(word)).collect::<Result<_, _>>()?),
        "no-socket" => Act::NoSocket,
        "too-big" => Act::TooBig(number(one()?)?),
        "withhold" => Act::Withhold,
        "extension" => Act::Extension(extension(one()?)?),
        _ => return Err(format!("no step {verb}")),
    })
}

fn extension(word: &str) -> Result<Extension, String> {
    Ok(match word {
        "none" => Extension::None,
        "hop-by-hop" => Extension::HopByHop,
        "destination" => Extension::Destination,
        "both" => Extension::Both,
        "atomic-fragment" => Extension::AtomicFragment,
        "ipv4-options" => Extension::Ipv4Options,
        _ => return Err(format!("no extension {word}")),
    })
}

/// `open` without a word is a Linux client's.
fn usual(arguments: &[String]) -> Shape {
    if arguments.iter().any(|word| !word.starts_with("win=")) {
        return Shape::default();
    }
    Shape { mss: Some(1460), scale: Some(7), sack: true, timestamps: true, ..Shape::default() }
}

fn shape(arguments: &[String]) -> Result<Shape, String> {
    let (flags, rest) = arguments.split_first().ok_or("a segment begins with its flags")?;
    options(Shape { flags: flags_of(flags)?, ..Shape::default() }, rest)
}

fn flags_of(word: &str) -> Result<u8, String> {
    let one = |name: &str| {
        Ok(match name {
            "FIN" => FIN,
            "SYN" => SYN,
            "RST" => RST,
            "PSH" => PSH,
            "ACK" => ACK,
            "URG" => URG,
            "ECE" => ECE,
            "CWR" => CWR,
            "none" => 0,
            _ => return Err(format!("no flag {name}")),
        })
    };
    word.split(',').try_fold(0, |all, name| Ok(all | one(name)?))
}

fn options(mut shape: Shape, words: &[String]) -> Result<Shape, String> {
    for word in words {
        match word.split_once('=') {
            Some((name, value)) => valued(&mut shape, name, value)?,
            None => plain(&mut shape, word)?,
        }
    }
    Ok(shape)
}

fn valued(shape: &mut Shape, name: &str, value: &str) -> Result<(), String> {
    match name {
        "seq" => shape.seq = number(value)?,
        "ack" if value == "any" => shape.any_ack = true,
        "ack" => shape.ack = number(value)?,
        "win" => shape.window = Some(number(value)?),
        "mss" => shape.mss = Some(number(value)?),
        "wscale" => shape.scale = Some(number(value)?),
        "old" => {
            shape.timestamps = true;
            shape.old = number(value)?;
        }
        "raw" => shape.raw = hex(value)?,
        "data" => shape.data = content(value),
        "len" => shape.len_max = Some(number(value)?),
        "within" => shape.within = Some(time(value)?),
        _ => return Err(format!("no field {name}")),
    }
    Ok(())
}

fn plain(shape: &mut Shape, word: &str) -> Result<(), String> {
    match word {
        "sack" => shape.sack = true,
        "ts" => shape.timestamps = true,
        "bad-checksum" => shape.bad_checksum = true,
        "lost" => shape.ghost = true,
        "mss" | "wscale" | "ece" | "sack-block" | "data" => shape.with.push(word.into()),
        _ => match word.strip_prefix("no-") {
            Some(name @ ("sack" | "ts" | "wscale" | "ece" | "data")) => shape.without.push(name.into()),
            _ => return Err(format!("no word {word}")),
        },
    }
    Ok(())
}

/// `wscale=7`, `sack` or `no-sack`, of the server's socket; no value means that it is in use.
fn pair(word: &str) -> Result<(String, Option<u64>), String> {
    match word.split_once('=') {
        Some((name, value)) => Ok((name.into(), Some(number(value)?))),
        None => Ok((word.into(), None)),
    }
}

/// A text, or so many bytes of which each differs from those around it.
fn content(word: &str) -> Vec<u8> {
    word.parse()
        .map_or_else(|_| word.as_bytes().to_vec(), |size: usize| (0..size).map(|at| b'a' + (at % 23) as u8).collect())
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.trim_start_matches('+').parse().map_err(|_| format!("no number here: {word}"))
}

fn time(word: &str) -> Result<Duration, String> {
    let (value, unit) = word.split_at(word.find(|c: char| c.is_alphabetic()).unwrap_or(word.len()));
    let value: f64 = number(value)?;
    match unit {
        "ms" => Ok(Duration::from_secs_f64(value / 1000.0)),
        "s" => Ok(Duration::from_secs_f64(value)),
        _ => Err(format!("no time: {word} (as 300ms or 2s)")),
    }
}

fn hex(word: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<_> = word.chars().filter(|c| *c != '.').collect();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16));
    pairs.collect::<Result<_, _>>().map_err(|_| format!("no hexadecimal digits: {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read() {
        let text = "# a file\ncase one\n  about Some text.\n  rule RFC 9293\n  service greet\n  flow other port=same\n\
                    other > SYN,ECE mss=1460 ts # comment\n  < SYN,ACK wscale no-sack within=1.5s\n  reads \"220 \"\n";
        let cases = parse(text).unwrap();
        assert_eq!(cases.len(), 1);
        let case = &cases[0];
        assert_eq!((&case.name[..], &case.about[..], case.service), ("one", "Some text.", Service::Greet));
        assert_eq!(case.steps[0].act, Act::Flow { same_address: true, same_port: true });
        let sent = Shape { flags: SYN | ECE, mss: Some(1460), timestamps: true, ..Shape::default() };
        assert_eq!((case.steps[1].flow, &case.steps[1].act), (1, &Act::Send(sent)));
        let Act::Expect(expected) = &case.steps[2].act else { panic!("{:?}", case.steps[2]) };
        assert_eq!((&expected.with[..], &expected.without[..]), (&["wscale".to_owned()][..], &["sack".to_owned()][..]));
        assert_eq!(expected.within, Some(Duration::from_millis(1500)));
        assert_eq!(case.steps[3].act, Act::Reads(b"220 ".into()));
    }

    #[test]
    fn mistakes_have_their_line() {
        let wrong = |text| parse(text).unwrap_err();
        assert_eq!(wrong("> SYN").what, "no case yet");
        assert_eq!(wrong("case a\n\n> SIN"), Mistake { line: 3, what: "no flag SIN".into() });
        assert_eq!(wrong("case a\nreads \"x").what, "a quote without its end");
        assert_eq!(wrong("case a\nwait soon").line, 2);
    }
}
