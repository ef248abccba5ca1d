//! The arguments of a [`phrase`](super::phrase): each type says its unit, so that a view can write it in its reader's language.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Cause;
use crate::observe::record::{GapReason, Metric, Server, Service, Source, SourceCount, Span, Time};

macro_rules! units {
    ($($(#[$meta:meta])* $name:ident($inner:ty);)*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(pub $inner);

            impl Argument for $name {
                fn value(&self) -> Value {
                    Value::$name(self.0)
                }
            }
        )*
    };
}

units! {
    /// So many each second.
    Rate(f64);
    /// A number without a unit: a load average.
    Number(f64);
    /// Of 100.
    Percent(f64);
    /// Bytes.
    Bytes(u64);
    /// How long, in milliseconds.
    Milliseconds(u64);
    /// A TCP port.
    Port(u16);
}

/// Addresses: one, or a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The address, or the prefix's lowest.
    pub address: IpAddr,
    /// 32 or 128 for one address.
    pub prefix_length: u8,
}

impl From<&SourceCount> for Network {
    fn from(source: &SourceCount) -> Self {
        Self { address: source.address, prefix_length: source.prefix_length }
    }
}

/// A value with its unit, as views get it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number of things.
    Count(u64),
    /// So many each second.
    Rate(f64),
    /// A number without a unit.
    Number(f64),
    /// Of 100.
    Percent(f64),
    /// Bytes.
    Bytes(u64),
    /// How long.
    Milliseconds(u64),
    /// A TCP port.
    Port(u16),
    /// A moment.
    Moment(Time),
    /// From a moment to another.
    Span(Span),
    /// A name, a file, a line of a program's language: shown as it is.
    Text(String),
    /// Addresses.
    Network(Network),
    /// What was measured.
    Metric(Metric),
    /// A web server.
    Server(Server),
    /// A service with a log.
    Service(Service),
    /// Where facts come from.
    Source(Source),
    /// Why there is a gap.
    GapReason(GapReason),
    /// Causes, to be named in a list.
    Causes(Vec<Cause>),
}

/// What can be an argument.
pub trait Argument {
    /// With its unit.
    fn value(&self) -> Value;
}

macro_rules! arguments {
    ($($type:ty => |$it:ident| $value:expr;)*) => {
        $(impl Argument for $type {
            fn value(&self) -> Value {
                let $it = self;
                $value
            }
        })*
    };
}

arguments! {
    u64 => |it| Value::Count(*it);
    String => |it| Value::Text(it.clone());
    PathBuf => |it| Value::Text(it.display().to_string());
    Time => |it| Value::Moment(*it);
    Span => |it| Value::Span(*it);
    Network => |it| Value::Network(*it);
    Metric => |it| Value::Metric(*it);
    Server => |it| Value::Server(*it);
    Service => |it| Value::Service(*it);
    Source => |it| Value::Source(*it);
    GapReason => |it| Value::GapReason(*it);
    Cause => |it| Value::Causes(vec![*it]);
    Vec<Cause> => |it| Value::Causes(it.clone());
}
