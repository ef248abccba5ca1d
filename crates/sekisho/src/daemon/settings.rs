//! From policy and host to what the programs are told: pure but for the sysctls that it reads.

use sekisho_datapath::settings::Offers;
use sekisho_datapath::{Capacity, Limits, Method, Over, PortPolicy, Settings, time};
use sekisho_engine::observe::sysctl;
use sekisho_engine::policy::{self, Mode, Policy, PortSettings};

/// The programs' read-only settings. `interface` is the one whose hop limit counts.
pub fn settings(policy: &Policy, interface: Option<&str>) -> Settings {
    let defaults = Settings::default();
    let on = |key: &str| sysctl::number::<u8>(key).is_none_or(|value| value != 0);
    let hop_limit = interface.unwrap_or("default");
    Settings {
        observe: policy.mode == Mode::Observe,
        linger_ticks: time::ticks(policy.linger.as_secs()),
        mss4: policy.mss4.unwrap_or(defaults.mss4),
        mss6: policy.mss6.unwrap_or(defaults.mss6),
        receive_wscale: sysctl::receive_window_scale(),
        ttl: sysctl::number("net.ipv4.ip_default_ttl").unwrap_or(defaults.ttl),
        hop_limit: sysctl::number(&format!("net/ipv6/conf/{hop_limit}/hop_limit")).unwrap_or(defaults.hop_limit),
        offers: Offers {
            timestamps: on("net.ipv4.tcp_timestamps"),
            sack: on("net.ipv4.tcp_sack"),
            window_scale: on("net.ipv4.tcp_window_scaling"),
            ecn: on("net.ipv4.tcp_ecn"),
        },
        verified_rate: policy.verified.rate,
        verified_burst: policy.verified.burst,
        allowed_rate: policy.admin.rate,
        allowed_burst: policy.admin.burst,
        listed: defaults.listed,
        verified_ticks: time::ticks(policy.verified.expiry.as_secs()),
        verified6_prefix: policy.verified.prefix6,
        answer_bound: policy.answers_per_network,
        limits: limits(policy),
    }
}

fn limits(policy: &Policy) -> Limits {
    let own = policy.services.iter().any(|service| service.limit.is_some_and(|limit| limit > 0));
    Limits {
        source: policy.limits.source,
        network: policy.limits.prefix,
        global: policy.limits.global,
        services: own || policy.limits.service > 0,
        over: match policy.limits.over {
            policy::Over::Prove => Over::Prove,
            policy::Over::Drop => Over::Drop,
        },
    }
}

/// How large the tables of verified sources are.
pub fn capacity(policy: &Policy) -> Capacity {
    Capacity { verified4: policy.verified.capacity4, verified6: policy.verified.capacity6 }
}

/// The MSS that an interface's answers carry over IPv4 and IPv6: what the configuration says, else what fits its MTU less the
/// headers (40 and 60 bytes).
pub fn mss(policy: &Policy, mtu: u32) -> (u16, u16) {
    let fits = |headers: u32, least: u16| u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX).max(least);
    // The least: what every host can take (RFC 9293, section 3.7.1; RFC 8200, section 5, less the headers).
    (policy.mss4.unwrap_or_else(|| fits(40, 536)), policy.mss6.unwrap_or_else(|| fits(60, 1220)))
}

/// One port's settings as the programs hold them.
pub fn port_policy(settings: &PortSettings) -> PortPolicy {
    PortPolicy {
        method: match settings.method {
            policy::Method::Cookie => Method::Cookie,
            policy::Method::Challenge => Method::Challenge,
        },
        protect: settings.protect,
        calm_mark: settings.calm_mark,
        reserve_mark: settings.reserve_mark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mss_fits_the_mtu_unless_configured() {
        let policy = Policy::default();
        assert_eq!(mss(&policy, 1500), (1460, 1440));
        assert_eq!(mss(&policy, 9000), (8960, 8940));
        assert_eq!(mss(&policy, 65536), (65496, 65476));
        assert_eq!(mss(&policy, 68), (536, 1220));
        let policy = Policy { mss4: Some(1400), ..policy };
        assert_eq!(mss(&policy, 1500), (1400, 1440));
    }

    #[test]
    fn the_policy_reaches_the_programs() {
        let settings = settings(&Policy { mode: Mode::Observe, answers_per_network: 7, ..Policy::default() }, None);
        assert!(settings.observe);
        assert_eq!((settings.answer_bound, settings.verified_rate, settings.linger_ticks), (7, 20, 56));
    }

    #[test]
    fn the_engines_defaults_are_the_datapaths() {
        let port = Policy::default().port(80, None);
        assert_eq!(port_policy(&port), PortPolicy::default());
        assert_eq!(capacity(&Policy::default()), Capacity::default());
    }
}
