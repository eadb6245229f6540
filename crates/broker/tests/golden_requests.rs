//! Real requests of Kafka's clients, in every version that is advertised, to a running broker: each gets an answer of its own
//! version, to the last byte.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use klamm_broker::environment::{Environment, Place, SystemClock, SystemRandom};
use klamm_broker::{Server, WorkerThreads};
use klamm_config::load::{Options, load};
use klamm_log::disk::RealDisk;
use klamm_net::TcpNetwork;
use klamm_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use klamm_protocol::{ApiKey, Decode, Reader, Writer, frame, header, messages};

/// Decodes a response by its API's name; how many bytes are left.
fn decode_response(name: &str, version: i16, reader: &mut Reader<'_>) -> Result<usize, String> {
    macro_rules! dispatch {
        ($($message:ident)*) => {
            match name {
                $(stringify!($message) => {
                    messages::$message::decode(reader, version).map_err(|error| error.to_string())?;
                })*
                _ => return Err(format!("no message {name}")),
            }
        };
    }
    klamm_protocol::for_each_message!(dispatch);
    Ok(reader.remaining().len())
}

/// A broker in a folder of its own, stopped when dropped.
struct Running {
    threads: Arc<WorkerThreads>,
    addresses: Vec<(String, SocketAddr)>,
    _data: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let options = Options {
            file: None,
            set: vec![
                "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0".into(),
                "group.initial.rebalance.delay.ms=0".into(),
            ],
            data: Some(data.path().to_owned()),
            listen: None,
        };
        let loaded = load(&options).unwrap();
        let threads = Arc::new(WorkerThreads::start(1).unwrap());
        let environment = Environment {
            network: Arc::new(TcpNetwork),
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            executors: threads.clone(),
        };
        let (report, started) = channel();
        let starting = environment.clone();
        environment.spawn(Place::Control, move || async move {
            let server: Server = klamm_broker::start(loaded, starting).await.unwrap();
            report.send(server.addresses().to_vec()).unwrap();
            std::future::pending::<()>().await;
        });
        Self { threads, addresses: started.recv().unwrap(), _data: data }
    }

    fn connect(&self, listener: &str) -> TcpStream {
        let (_, address) = self.addresses.iter().find(|(name, _)| name == listener).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.threads.stop();
    }
}

/// One exchange of whole frames without their sizes.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(&(request.len() as u32).to_be_bytes())?;
    stream.write_all(request)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut response = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut response)?;
    Ok(response)
}

/// What a listener serves: the version ranges by key.
fn advertised(stream: &mut TcpStream) -> BTreeMap<i16, (i16, i16)> {
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..ApiVersionsRequest::default()
    };
    let mut writer = Writer::new();
    frame::encode_request(&mut writer, &request, 3, 7, None).unwrap();
    let response = exchange(stream, &writer.as_bytes()[4..]).unwrap();
    let mut reader = Reader::new(&response);
    assert_eq!(header::decode_response(&mut reader, ApiKey::ApiVersions, 3).unwrap(), 7);
    let response = ApiVersionsResponse::decode(&mut reader, 3).unwrap();
    response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect()
}

/// The requests of a golden file, by version.
fn golden_requests(path: &Path) -> Vec<(i16, Vec<u8>)> {
    let text = std::fs::read_to_string(path).unwrap();
    let requests = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("version ")?;
        let (version, hex) = rest.split_once(" request ")?;
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        Some((version.parse().unwrap(), bytes.collect()))
    });
    requests.collect()
}

fn check_listener(running: &Running, listener: &str) -> usize {
    let served = advertised(&mut running.connect(listener));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/golden/rpc");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut checked, mut failures) = (0, Vec::new());
    for path in paths {
        for (version, request) in golden_requests(&path) {
            let api = ApiKey::from_i16(i16::from_be_bytes([request[0], request[1]])).unwrap();
            let is_served =
                served.get(&api.as_i16()).is_some_and(|(min, max)| (*min..=*max).contains(&version));
            if is_served {
                checked += 1;
                if let Err(reason) = check(&mut running.connect(listener), api, version, &request) {
                    failures.push(format!("{api} version {version}: {reason}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "on {listener}:\n{}", failures.join("\n"));
    checked
}

fn check(stream: &mut TcpStream, api: ApiKey, version: i16, request: &[u8]) -> Result<(), String> {
    let response = exchange(stream, request).map_err(|error| format!("no answer: {error}"))?;
    let mut reader = Reader::new(&response);
    let correlation =
        header::decode_response(&mut reader, api, version).map_err(|error| error.to_string())?;
    let expected = i32::from_be_bytes(*request[4..].first_chunk().unwrap());
    if correlation != expected {
        return Err(format!("correlation id {correlation}, not {expected}"));
    }
    match decode_response(&format!("{api}Response"), version, &mut reader)? {
        0 => Ok(()),
        rest => Err(format!("{rest} bytes behind the answer")),
    }
}

#[test]
fn every_advertised_version_is_answered() {
    let running = Running::start();
    let on_broker = check_listener(&running, "PLAINTEXT");
    let on_controller = check_listener(&running, "CONTROLLER");
    assert!(on_broker > 150, "{on_broker} requests");
    assert!(on_controller > 20, "{on_controller} requests");
}
