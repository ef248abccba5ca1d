//! The phrases of a diagnosis in words.
//!
//! Each kind of phrase has its own family of messages: `evidence-swap-used` says `Evidence::SwapUsed`. Arguments come with their units, so
//! the messages need no function for them; numbers of things stay numbers, for singular and plural.

use fluent_bundle::{FluentArgs, FluentValue};
use sekisho_engine::judge::diagnosis::Cause;
use sekisho_engine::judge::diagnosis::phrase::{Action, Cookies, Distinction, Evidence, Keep, Refutation, Verdict};
use sekisho_engine::judge::diagnosis::value::{Network, Value};

use super::{Words, arguments, format};

/// Something that a diagnosis says.
pub trait Phrase {
    /// What the names of its messages begin with.
    const FAMILY: &'static str;
    /// Every kind, with the names of its arguments: what the tests demand words for.
    #[cfg(test)]
    const KINDS: &'static [(&'static str, &'static [&'static str])];

    /// Which kind it is.
    fn kind(&self) -> &'static str;
    /// Its arguments.
    fn arguments(&self) -> Vec<(&'static str, Value)>;
}

macro_rules! families {
    ($($phrase:ident = $family:literal,)*) => {
        $(impl Phrase for $phrase {
            const FAMILY: &'static str = $family;
            #[cfg(test)]
            const KINDS: &'static [(&'static str, &'static [&'static str])] = $phrase::KINDS;

            fn kind(&self) -> &'static str {
                self.kind()
            }

            fn arguments(&self) -> Vec<(&'static str, Value)> {
                self.arguments()
            }
        })*
    };
}

families! {
    Verdict = "verdict",
    Evidence = "evidence",
    Refutation = "refutation",
    Action = "action",
    Keep = "keep",
    Distinction = "distinction",
    Cookies = "cookies",
}

impl Words {
    /// Says a phrase.
    pub fn phrase<P: Phrase>(&self, phrase: &P) -> String {
        let args: FluentArgs<'_> =
            phrase.arguments().into_iter().map(|(name, value)| (name, self.value(&value))).collect();
        self.say(&arguments::id(P::FAMILY, phrase.kind()), &args)
    }

    /// What a cause is called, as it stands in a sentence.
    pub fn cause(&self, cause: Cause) -> String {
        self.word(&arguments::id("cause", cause.name()))
    }

    /// What a cause is called, as a heading.
    pub fn cause_title(&self, cause: Cause) -> String {
        format::capital(&self.cause(cause))
    }

    /// Several causes.
    pub fn causes(&self, causes: &[Cause]) -> String {
        let names: Vec<String> = causes.iter().map(|cause| self.cause(*cause)).collect();
        format::list(self.lang, &names)
    }

    fn value(&self, value: &Value) -> FluentValue<'static> {
        let text = match value {
            Value::Count(count) => return FluentValue::from(*count as f64),
            Value::Rate(rate) => self.rate(*rate),
            Value::Number(number) => format::number(*number),
            Value::Percent(percent) => format::percent(percent / 100.0),
            Value::Bytes(bytes) => format::bytes(*bytes as f64),
            Value::Milliseconds(length) => format::duration_ms(self.lang, *length as f64),
            Value::Port(port) => port.to_string(),
            Value::Moment(at) => self.moment(*at),
            Value::Span(span) => self.span(*span),
            // For messages that say something else then.
            Value::Text(text) if text.is_empty() => "none".to_owned(),
            Value::Text(text) => text.clone(),
            Value::Network(network) => network_text(network),
            Value::Metric(metric) => self.name("metric", metric),
            Value::Server(server) => self.name("server", server),
            Value::Service(service) => self.name("service", service),
            Value::Source(source) => self.name("source", source),
            Value::GapReason(reason) => self.name("gap", reason),
            Value::Causes(causes) => self.causes(causes),
        };
        text.into()
    }

    /// So many each second.
    pub fn rate(&self, rate: f64) -> String {
        self.say("rate", &super::args([("number", format::number(rate))]))
    }

    /// A name of a plain enum.
    pub fn name(&self, family: &str, value: &impl serde::Serialize) -> String {
        self.word(&arguments::id(family, &arguments::take_apart(value).0))
    }
}

/// An address, or a prefix.
pub fn network_text(network: &Network) -> String {
    let whole = if network.address.is_ipv4() { 32 } else { 128 };
    if network.prefix_length == whole {
        network.address.to_string()
    } else {
        format!("{}/{}", network.address, network.prefix_length)
    }
}
