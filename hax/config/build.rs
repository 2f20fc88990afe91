//! The second stage: from the raw document to a [`Config`], key by key, then what only
//! several keys together can get wrong.

use std::time::Duration;

use halink::FidType;

use super::error::Found;
use super::fence;
use super::model::{
    ClientCertificate, Config, ConsulConfig, DispatchConfig, EntrypointConfig, FatalMessage,
    HaConfig, HttpConfig, KvConfig, LeaderConfig, LogConfig, LogFormat, NodeConfig, Profile,
    RetryConfig,
};
use super::plugin;
use super::reader::Reader;
use super::schema::{self, KeyDoc, Range};
use super::value;
use crate::dispatch::Mode;

/// Builds the configuration, or says everything that is wrong.
pub(super) fn config(text: &str) -> Result<Config, Vec<Found>> {
    let mut reader = Reader::parse(text, &schema::MAIN)?;
    let config = sections(&mut reader);
    let errors = reader.into_errors();
    match config {
        Some(config) if errors.is_empty() => Ok(config),
        _ => Err(errors),
    }
}

/// Reads every section before any is missed, so that all errors are found.
fn sections(r: &mut Reader<'_>) -> Option<Config> {
    let node = node(r);
    let ha = ha(r);
    let entrypoint = entrypoint(r);
    let dispatch = dispatch(r);
    let consul = consul(r);
    let retry = retry(r);
    let http = http(r);
    let leader = leader(r);
    let kv = kv(r);
    let log = log(r);
    let fence = fence::read(r, node.as_ref());
    let plugins = plugin::read(r);
    Some(Config {
        node: node?,
        ha: ha?,
        entrypoint: entrypoint?,
        dispatch: dispatch?,
        consul: consul?,
        retry: retry?,
        http: http?,
        leader: leader?,
        kv: kv?,
        log: log?,
        fence: fence?,
        plugins: plugins?,
    })
}

fn node(r: &mut Reader<'_>) -> Option<NodeConfig> {
    let name = r.text(&schema::NODE_NAME, value::node_name);
    Some(NodeConfig { name: name? })
}

fn ha(r: &mut Reader<'_>) -> Option<HaConfig> {
    let endpoint = r.text(&schema::HA_ENDPOINT, value::endpoint);
    let process = r.text(&schema::HA_PROCESS, |text| {
        value::fid(text, FidType::Process)
    });
    let ha_service = r.text(&schema::HA_SERVICE, |text| {
        value::fid(text, FidType::Service)
    });
    let rm_service = r.text(&schema::HA_RM_SERVICE, |text| {
        value::fid(text, FidType::Service)
    });
    let on_fatal_message = choice(r, &schema::HA_ON_FATAL_MESSAGE, |word| match word {
        "isolate" => Some(FatalMessage::Isolate),
        "panic" => Some(FatalMessage::Panic),
        _ => None,
    });
    let death_watch = r.boolean(&schema::HA_DEATH_WATCH);
    let profile = choice(r, &schema::HA_PROFILE, |word| match word {
        "5/HAX" => Some(Profile::FiveHax),
        "hare" => Some(Profile::Hare),
        _ => None,
    });
    let state_dir = r.text(&schema::HA_STATE_DIR, value::file);
    Some(HaConfig {
        endpoint: endpoint?,
        process: process?,
        ha_service: ha_service?,
        rm_service: rm_service?,
        on_fatal_message: on_fatal_message?,
        death_watch: death_watch?,
        profile: profile?,
        state_dir: state_dir?,
    })
}

fn entrypoint(r: &mut Reader<'_>) -> Option<EntrypointConfig> {
    let timeout = duration(r, &schema::ENTRYPOINT_TIMEOUT);
    Some(EntrypointConfig { timeout: timeout? })
}

fn dispatch(r: &mut Reader<'_>) -> Option<DispatchConfig> {
    let mode = choice(r, &schema::DISPATCH_MODE, |word| match word {
        "queue" => Some(Mode::Queue),
        "lanes" => Some(Mode::Lanes),
        _ => None,
    });
    let queue_max = r.number(&schema::DISPATCH_QUEUE_MAX);
    Some(DispatchConfig {
        mode: mode?,
        queue_max: u32::try_from(queue_max?).ok()?.try_into().ok()?,
    })
}

fn consul(r: &mut Reader<'_>) -> Option<ConsulConfig> {
    let address = r.text(&schema::CONSUL_ADDRESS, value::consul_address);
    let token_file = r.text(&schema::CONSUL_TOKEN_FILE, value::secret_file);
    let ca_file = r.text(&schema::CONSUL_CA_FILE, value::file);
    let cert_file = r.text(&schema::CONSUL_CERT_FILE, value::file);
    let key_file = r.text(&schema::CONSUL_KEY_FILE, value::secret_file);
    let timeout = duration(r, &schema::CONSUL_TIMEOUT);
    let connect_timeout = duration(r, &schema::CONSUL_CONNECT_TIMEOUT);
    let datacenter = r.text(&schema::CONSUL_DATACENTER, value::datacenter);

    for (given, other) in [
        (&schema::CONSUL_CERT_FILE, &schema::CONSUL_KEY_FILE),
        (&schema::CONSUL_KEY_FILE, &schema::CONSUL_CERT_FILE),
    ] {
        if r.is_given(given) && !r.is_given(other) {
            r.refuse(given, format!("needs {} as well", other.path));
        }
    }
    let plain = address.as_ref().is_some_and(|address| !address.is_tls());
    for key in [&schema::CONSUL_CA_FILE, &schema::CONSUL_CERT_FILE] {
        if plain && r.is_given(key) {
            r.refuse(
                key,
                "has no effect on an http:// address; make it https://".to_owned(),
            );
        }
    }
    Some(ConsulConfig {
        address: address?,
        token_file,
        ca_file,
        client_certificate: cert_file.zip(key_file).map(|(cert_file, key_file)| {
            ClientCertificate {
                cert_file,
                key_file,
            }
        }),
        timeout: timeout?,
        connect_timeout: connect_timeout?,
        datacenter,
    })
}

fn retry(r: &mut Reader<'_>) -> Option<RetryConfig> {
    let min = duration(r, &schema::RETRY_MIN);
    let max = duration(r, &schema::RETRY_MAX);
    let attempt = duration(r, &schema::RETRY_ATTEMPT);
    let (min, max) = (min?, max?);
    if min > max {
        let (min, max) = (schema::show_duration(min), schema::show_duration(max));
        r.refuse(
            &schema::RETRY_MIN,
            format!("{min} is above retry.max, {max}"),
        );
    }
    Some(RetryConfig {
        min,
        max,
        attempt: attempt?,
    })
}

fn http(r: &mut Reader<'_>) -> Option<HttpConfig> {
    let listen = r.text(&schema::HTTP_LISTEN, value::listen);
    let body_limit = size(r, &schema::HTTP_BODY_LIMIT);
    Some(HttpConfig {
        listen: listen?,
        body_limit: usize::try_from(body_limit?).ok()?,
    })
}

fn leader(r: &mut Reader<'_>) -> Option<LeaderConfig> {
    let elect = r.boolean(&schema::LEADER_ELECT);
    let lock_delay = duration(r, &schema::LEADER_LOCK_DELAY);
    Some(LeaderConfig {
        elect: elect?,
        lock_delay: lock_delay?,
    })
}

fn kv(r: &mut Reader<'_>) -> Option<KvConfig> {
    let process_alias = r.boolean(&schema::KV_PROCESS_ALIAS);
    Some(KvConfig {
        process_alias: process_alias?,
    })
}

fn log(r: &mut Reader<'_>) -> Option<LogConfig> {
    let format = choice(r, &schema::LOG_FORMAT, |word| match word {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    });
    let level = r.text(&schema::LOG_LEVEL, value::log_directives);
    Some(LogConfig {
        format: format?,
        level: level?,
    })
}

pub(super) fn choice<T>(
    r: &mut Reader<'_>,
    key: &KeyDoc,
    pick: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    r.text(key, |text| {
        pick(text).ok_or_else(|| format!("{text:?} is not one of {}", key.range))
    })
}

pub(super) fn duration(r: &mut Reader<'_>, key: &KeyDoc) -> Option<Duration> {
    r.text(key, |text| {
        let duration = value::duration(text)?;
        match key.range {
            Range::Duration(min, max) if !(min..=max).contains(&duration) => {
                Err(format!("{text:?} is out of range, {}", key.range))
            }
            _ => Ok(duration),
        }
    })
}

fn size(r: &mut Reader<'_>, key: &KeyDoc) -> Option<u64> {
    r.text(key, |text| {
        let size = value::size(text)?;
        match key.range {
            Range::Size(min, max) if !(min..=max).contains(&size) => {
                Err(format!("{text:?} is out of range, {}", key.range))
            }
            _ => Ok(size),
        }
    })
}
