//! What is said to people, in their language.
//!
//! The engine's findings are enums with arguments; the sentences stand in `crates/sekisho/words/LANGUAGE/*.ftl` ([Fluent]) and are built
//! into the program. [`Words::say`] makes a sentence of a name and arguments, [`Words::phrase`] of a phrase of the engine's
//! diagnosis, [`Words::tell`] of any other value of the engine: its variant names the message, its fields are the arguments.
//!
//! - [`phrase`]: the diagnosis's phrases; [`arguments`]: other values;
//! - [`lang`]: which languages there are, and which one is wanted;
//! - [`format`](mod@format): numbers, sizes, lengths of time and moments as each language writes them, which the messages call as functions
//!   (`BYTES($memory)`).
//!
//! What one language lacks is said in English. That it never happens is tested where the engine's enums are listed
//! (`views/complete.rs`).
//!
//! [Fluent]: https://projectfluent.org

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use sekisho_engine::observe::record::{Span, Time};
use serde::Serialize;

pub mod arguments;
pub mod format;
pub mod lang;
pub mod phrase;

pub use format::Zone;
pub use lang::Lang;
pub use phrase::Phrase;

/// The sentences of one language, with English behind them.
pub struct Words {
    lang: Lang,
    zone: Zone,
    day: Option<i64>,
    bundles: Vec<FluentBundle<FluentResource>>,
}

impl Words {
    /// In this language, with times of this zone.
    pub fn new(lang: Lang, zone: Zone) -> Self {
        let mut bundles = vec![bundle(lang, zone)];
        if lang != Lang::En {
            bundles.push(bundle(Lang::En, zone));
        }
        Self { lang, zone, day: None, bundles }
    }

    /// The same, for a page about one span: if that is within one day, moments of that day are told without their date.
    #[must_use]
    pub fn about(self, span: Option<Span>) -> Self {
        let day = |at: Time| (at.seconds() + self.zone.ahead(at)).div_euclid(86_400);
        let day = span.filter(|span| day(span.from) == day(span.until)).map(|span| day(span.from));
        Self { day, ..self }
    }

    /// The language.
    pub const fn lang(&self) -> Lang {
        self.lang
    }

    /// The zone that times are told in.
    pub const fn zone(&self) -> Zone {
        self.zone
    }

    /// A message without arguments.
    pub fn word(&self, id: &str) -> String {
        self.say(id, &FluentArgs::new())
    }

    /// A message with arguments. One that no language has is its own name, so that nothing is left out unseen.
    pub fn say(&self, id: &str, args: &FluentArgs<'_>) -> String {
        let known = self.bundles.iter().find_map(|bundle| Some((bundle, bundle.get_message(id)?.value()?)));
        let Some((bundle, pattern)) = known else { return format!("[{id}]") };
        // An argument that is missing is shown by its name, in braces.
        bundle.format_pattern(pattern, Some(args), &mut Vec::new()).into_owned()
    }

    /// Says what a value means: the message is named `KIND-VARIANT`, with `-` for `_`; the variant's fields are its arguments.
    pub fn tell(&self, kind: &str, value: &impl Serialize) -> String {
        let (variant, args) = self.taken_apart(value);
        self.say(&arguments::id(kind, &variant), &args)
    }

    /// A value's variant and arguments, with words for those arguments that are words themselves.
    fn taken_apart(&self, value: &impl Serialize) -> (String, FluentArgs<'static>) {
        let (variant, fields) = arguments::take_apart(value);
        let mut args = FluentArgs::new();
        for (name, field) in fields {
            args.set(name.clone(), self.argument(&name, field));
        }
        (variant, args)
    }

    fn argument(&self, name: &str, field: arguments::Field) -> FluentValue<'static> {
        match field {
            arguments::Field::Number(number) => FluentValue::from(number),
            arguments::Field::Text(text) => self.text_or_word(name, text).into(),
            arguments::Field::List(texts) => {
                let texts: Vec<String> = texts.into_iter().map(|text| self.text_or_word(name, text)).collect();
                format::list(self.lang, &texts).into()
            }
        }
    }

    /// An argument that is a word of ours (`server` = `apache`) is said by the message `server-apache`; others are themselves.
    fn text_or_word(&self, name: &str, text: String) -> String {
        if arguments::WORDS.contains(&name) { self.word(&arguments::id(name, &text)) } else { text }
    }

    /// A moment: the time of day, and the date where that is not clear.
    pub fn moment(&self, at: Time) -> String {
        let day = (at.seconds() + self.zone.ahead(at)).div_euclid(86_400);
        if self.day == Some(day) { format::clock(self.zone, at) } else { self.date_and_time(at) }
    }

    /// A moment with its date.
    pub fn date_and_time(&self, at: Time) -> String {
        format::moment(self.lang, self.zone, at)
    }

    /// From one moment to another.
    pub fn span(&self, span: Span) -> String {
        self.between(self.moment(span.from), self.moment(span.until))
    }

    /// Like [`Self::span`], with dates.
    pub fn dated_span(&self, span: Span) -> String {
        let until = if self.day.is_some() { self.moment(span.until) } else { self.date_and_time(span.until) };
        self.between(self.date_and_time(span.from), until)
    }

    fn between(&self, from: String, until: String) -> String {
        if from == until { from } else { self.say("span", &args([("from", from), ("until", until)])) }
    }
}

/// Texts as arguments.
pub fn args<'a, const N: usize>(texts: [(&'a str, String); N]) -> FluentArgs<'a> {
    texts.into_iter().map(|(name, text)| (name, FluentValue::from(text))).collect()
}

/// One language's sentences and functions.
fn bundle(lang: Lang, zone: Zone) -> FluentBundle<FluentResource> {
    let mut bundle = FluentBundle::new(vec![lang.identifier()]);
    // Marks for mixed directions of writing would be seen in a terminal; both languages run the same way.
    bundle.set_use_isolating(false);
    bundle.set_formatter(Some(|value, _| match value {
        FluentValue::Number(number) => Some(format::number(number.value)),
        _ => None,
    }));
    for (_, text) in lang.files() {
        // What the parser passes over is missing then, which a test finds.
        let resource = FluentResource::try_new((*text).to_owned()).unwrap_or_else(|(resource, _)| resource);
        // A name that is there already stays as it is, which a test finds too.
        let _ = bundle.add_resource(resource);
    }
    for (name, function) in functions() {
        let _ = bundle.add_function(name, move |given, _| call(given, |number| function(lang, zone, number)));
    }
    bundle
}

/// How a number is written: in a language and, for moments, a zone.
type Function = fn(Lang, Zone, f64) -> String;

/// The functions that messages can call, each with one number.
fn functions() -> [(&'static str, Function); 9] {
    [
        ("BYTES", |_, _, number| format::bytes(number)),
        ("DURATION", |lang, _, number| format::duration_ms(lang, number)),
        ("SECONDS", |lang, _, number| format::duration_ms(lang, number * 1000.0)),
        // To choose by: is it `negative`, or `other`?
        ("SIGN", |_, _, number| if number < 0.0 { "negative" } else { "other" }.to_owned()),
        ("PERCENT", |_, _, number| format::percent(number)),
        ("PLAIN", |_, _, number| format!("{number:.0}")),
        ("MOMENT", |lang, zone, number| format::moment(lang, zone, time(number))),
        ("ZONE", |_, _, number| format::zone(Zone::Fixed(number as i32), Time::default())),
        ("CLOCK", |_, zone, number| format::clock(zone, time(number))),
    ]
}

/// Milliseconds as a moment.
const fn time(number: f64) -> Time {
    Time(number as i64)
}

fn call<'v>(given: &[FluentValue<'v>], function: impl Fn(f64) -> String) -> FluentValue<'v> {
    match given.first() {
        Some(FluentValue::Number(number)) => function(number.value).into(),
        Some(other) => other.clone(),
        None => FluentValue::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_read_whole_and_names_nothing_twice() {
        for lang in Lang::ALL {
            let mut bundle = FluentBundle::new(vec![lang.identifier()]);
            for (name, text) in lang.files() {
                let resource = FluentResource::try_new((*text).to_owned());
                let resource = resource.unwrap_or_else(|(_, errors)| panic!("{}/{name}: {errors:?}", lang.tag()));
                let added = bundle.add_resource(resource);
                assert!(added.is_ok(), "{}/{name}: {added:?}", lang.tag());
            }
        }
    }

    #[test]
    fn what_nobody_can_say_is_seen() {
        let words = Words::new(Lang::Ja, Zone::Fixed(0));
        assert_eq!(words.word("no-such-message"), "[no-such-message]");
    }
}
