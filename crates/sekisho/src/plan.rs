//! `sekisho plan`: the host's settings beside what it needs, as text or JSON. The engine judges; here it is only gathered and shown.

use std::fmt::Write;
use std::path::PathBuf;

use sekisho_engine::act::files;
use sekisho_engine::judge::settings::{self, BootFile, ListenerAdvice, Plan, SYSCTL_FILE, Setting};
use sekisho_engine::observe;

use crate::cli::BootArgs;
use crate::failure::Failure;
use crate::state::is_hosts_namespace;

/// The plan as text or JSON.
pub fn plan(json: bool, boot: &BootArgs) -> Result<String, Failure> {
    let plan = make(boot)?;
    if !json {
        return Ok(render(&plan));
    }
    let json = serde_json::to_string_pretty(&plan);
    json.map(|text| text + "\n").map_err(|error| Failure::from_error("cannot write JSON", error))
}

/// Looks at the host and makes the plan.
pub fn make(boot: &BootArgs) -> Result<Plan, Failure> {
    let facts = observe::settings::facts().map_err(|error| {
        Failure::from_error("cannot list the listening sockets", error)
            .hint("the kernel needs CONFIG_INET_DIAG (module tcp_diag)")
    })?;
    let boot = boot_file(boot).map(|(path, text)| BootFile { path, text });
    Ok(settings::plan(&facts, boot.as_ref()))
}

/// The file that keeps settings for the next boot, and its text. It is about the host's own network namespace, so in another one there
/// is none unless it is named.
pub fn boot_file(args: &BootArgs) -> Option<(PathBuf, Option<String>)> {
    let usual = || is_hosts_namespace().then(|| PathBuf::from(SYSCTL_FILE));
    let path = args.sysctl_file.clone().or_else(usual)?;
    // One that cannot be read cannot be written either, which apply tells.
    let text = files::read(&path).ok().flatten();
    Some((path, text))
}

fn render(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "A backlog of {} is needed here: {}.\n", plan.needed_backlog, plan.needed_because);
    for setting in &plan.settings {
        text += &setting_words(setting);
    }
    if !plan.listeners.is_empty() {
        text += "\nListeners\n";
    }
    for listener in &plan.listeners {
        text += &listener_words(listener);
    }
    let _ = writeln!(text, "\n{}", steps_words(plan));
    text
}

fn setting_words(setting: &Setting) -> String {
    let Setting { key, is, wanted, why, .. } = setting;
    let change = wanted.as_ref().map_or_else(|| is.clone(), |wanted| format!("{is} -> {wanted}"));
    let mark = if wanted.is_some() { "change" } else { "ok" };
    let binds = if setting.binds { "" } else { " (does not bind)" };
    let memory = setting.memory_bytes.map(|bytes| format!(" At most {}.", size(bytes))).unwrap_or_default();
    format!("{mark:<7} {key} = {change}{binds}\n        {why}.{memory}\n")
}

fn listener_words(listener: &ListenerAdvice) -> String {
    let place = if listener.address.contains(':') {
        format!("[{}]:{}", listener.address, listener.port)
    } else {
        format!("{}:{}", listener.address, listener.port)
    };
    let mark = if listener.todo.is_some() { "short" } else { "ok" };
    let who = listener.application.as_deref().unwrap_or("unknown");
    let asked = match (listener.configured, &listener.file) {
        (Some(asked), Some(file)) => format!(", asks for {asked} ({})", file.display()),
        (Some(asked), None) => format!(", asks for {asked} (its default)"),
        (None, _) => String::new(),
    };
    let tracked = listener.tracked.map(|count| format!("; connection tracking has {count} of its connections"));
    let tracked = tracked.unwrap_or_default();
    let mut text = format!(
        "{mark:<7} {place} {who}{asked}: {} half-open fit, bound by {}; {} new connections/s from 100 ms away; {} when full{tracked}\n",
        listener.syn_queue,
        listener.binds.words(),
        listener.burst_100ms,
        size(listener.memory_bytes)
    );
    if let Some(todo) = &listener.todo {
        let _ = writeln!(text, "        {todo}");
    }
    text
}

fn steps_words(plan: &Plan) -> String {
    if plan.steps.is_empty() {
        return "Nothing to apply.".into();
    }
    let steps: String = plan.steps.iter().map(|step| format!("  {}\n", step.describe())).collect();
    format!("`sekisho apply` would do this, `sekisho rollback` takes it back:\n{}", steps.trim_end())
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use sekisho_engine::judge::settings::plan as judge;
    use sekisho_engine::observe::settings::SettingsFacts;

    use super::*;

    #[test]
    fn a_plan_is_told_with_what_does_not_bind_and_what_it_would_do() {
        let values = [
            ("net.ipv4.tcp_syncookies", "1"),
            ("net.ipv4.tcp_max_syn_backlog", "128"),
            ("net.ipv4.tcp_synack_retries", "5"),
        ];
        let facts = SettingsFacts {
            values: values.map(|(key, value)| (key, value.to_owned())).into(),
            memory: 1 << 30,
            ..SettingsFacts::default()
        };
        let text = render(&judge(&facts, None));
        assert!(text.contains("ok      net.ipv4.tcp_max_syn_backlog = 128 (does not bind)"), "{text}");
        assert!(text.contains("change  net.ipv4.tcp_synack_retries = 5 -> 3"), "{text}");
        assert!(text.contains("  net.ipv4.tcp_synack_retries set from 5 to 3"), "{text}");
        assert!(!text.contains("Listeners"), "{text}");
    }

    #[test]
    fn sizes() {
        assert_eq!((size(320).as_str(), size(3 << 20).as_str()), ("1 KiB", "3.0 MiB"));
    }
}
