//! Tests that nothing that can be said lacks its words, in any language.
//!
//! The engine lists what it says with the arguments it gives; each message has to use exactly these. So a new sentence that is not
//! translated, and a translation that forgot a number, fail here.

use std::collections::{BTreeMap, BTreeSet};

use fluent_bundle::FluentResource;
use fluent_syntax::ast::{CallArguments, Entry, Expression, InlineExpression, Pattern, PatternElement};
use sekisho_engine::judge::diagnosis::phrase::{Action, Cookies, Distinction, Evidence, Keep, Refutation, Verdict};
use sekisho_engine::judge::diagnosis::timeline::Row;
use sekisho_engine::judge::diagnosis::{Cause, Confidence, Role};

use crate::words::{Lang, Phrase, arguments};

/// Names of messages and the arguments that each uses.
type Messages = BTreeMap<String, BTreeSet<String>>;

fn messages(lang: Lang) -> Messages {
    let mut messages = Messages::new();
    for (_, text) in lang.files() {
        let resource = FluentResource::try_new((*text).to_owned()).unwrap_or_else(|(_, errors)| panic!("{errors:?}"));
        for entry in resource.entries() {
            let Entry::Message(message) = entry else { continue };
            let mut used = BTreeSet::new();
            pattern(message.value.as_ref().expect("every message says something"), &mut used);
            messages.insert(message.id.name.to_owned(), used);
        }
    }
    messages
}

fn pattern(pattern: &Pattern<&str>, used: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        if let PatternElement::Placeable { expression } = element {
            self::expression(expression, used);
        }
    }
}

fn expression(expression: &Expression<&str>, used: &mut BTreeSet<String>) {
    match expression {
        Expression::Inline(inner) => inline(inner, used),
        Expression::Select { selector, variants } => {
            inline(selector, used);
            variants.iter().for_each(|variant| pattern(&variant.value, used));
        }
    }
}

fn inline(inline: &InlineExpression<&str>, used: &mut BTreeSet<String>) {
    match inline {
        InlineExpression::VariableReference { id } => drop(used.insert(id.name.to_owned())),
        InlineExpression::FunctionReference { arguments, .. } => call(arguments, used),
        InlineExpression::Placeable { expression } => self::expression(expression, used),
        _ => {}
    }
}

fn call(arguments: &CallArguments<&str>, used: &mut BTreeSet<String>) {
    arguments.positional.iter().for_each(|argument| inline(argument, used));
}

/// Messages that there have to be, with their arguments.
fn wanted() -> Messages {
    let mut wanted = Messages::new();
    phrases::<Verdict>(&mut wanted);
    phrases::<Evidence>(&mut wanted);
    phrases::<Refutation>(&mut wanted);
    phrases::<Action>(&mut wanted);
    phrases::<Keep>(&mut wanted);
    phrases::<Distinction>(&mut wanted);
    phrases::<Cookies>(&mut wanted);
    let mut plain = |family: &str, name: &str| drop(wanted.insert(arguments::id(family, name), BTreeSet::new()));
    for cause in Cause::ALL {
        plain("cause", cause.name());
        plain("meaning", cause.name());
    }
    Role::ALL.iter().for_each(|role| plain("role", role.name()));
    Confidence::ALL.iter().for_each(|confidence| plain("confidence", confidence.name()));
    Row::ALL.iter().for_each(|row| plain("row", row.name()));
    wanted
}

fn phrases<P: Phrase>(wanted: &mut Messages) {
    for (kind, names) in P::KINDS {
        wanted.insert(arguments::id(P::FAMILY, kind), names.iter().map(|name| (*name).to_owned()).collect());
    }
}

#[test]
fn every_phrase_has_its_words_with_exactly_its_arguments() {
    for lang in Lang::ALL {
        let there = messages(lang);
        for (id, arguments) in wanted() {
            let used = there.get(&id).unwrap_or_else(|| panic!("{}: there is no message {id}", lang.tag()));
            assert_eq!(used, &arguments, "{}: the arguments of {id}", lang.tag());
        }
    }
}

#[test]
fn no_message_is_about_what_nobody_says() {
    let wanted = wanted();
    let families =
        ["verdict", "evidence", "refutation", "action", "keep", "distinction", "cookies", "cause", "meaning"];
    for lang in Lang::ALL {
        for id in messages(lang).keys() {
            let ours = families.iter().any(|family| id.strip_prefix(family).is_some_and(|rest| rest.starts_with('-')));
            assert!(!ours || wanted.contains_key(id), "{}: nobody says {id}", lang.tag());
        }
    }
}

#[test]
fn languages_say_the_same_things_with_the_same_arguments() {
    let english = messages(Lang::En);
    for lang in Lang::ALL {
        let there = messages(lang);
        let names = |messages: &Messages| messages.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&there), names(&english), "{}", lang.tag());
        for (id, used) in &there {
            assert_eq!(used, &english[id], "{}: the arguments of {id}", lang.tag());
        }
    }
}

/// Words that the program asks for by name, in its own source.
#[test]
fn every_name_in_the_source_is_a_message() {
    let there = messages(Lang::En);
    let sources = [
        include_str!("compose.rs"),
        include_str!("timeline.rs"),
        include_str!("show.rs"),
        include_str!("html.rs"),
        include_str!("../explain.rs"),
        include_str!("../doctor.rs"),
    ];
    let mut found = 0;
    for source in sources {
        for call in [".word(\"", ".say(\""] {
            for after in source.split(call).skip(1) {
                let id = after.split('"').next().unwrap_or_default();
                assert!(there.contains_key(id), "there is no message {id}");
                found += 1;
            }
        }
    }
    assert!(found > 20, "only {found} were found: are they asked for in another way now?");
}
