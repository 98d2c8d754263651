//! HTTPS with a CA that is renewed, or not known; and standard error that nobody reads.

use std::io::{PipeReader, Read as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/daemon/tls")
        .join(name)
}

/// A TLS server whose certificate `ca.pem` signed and which knows of no instances.
struct Tls {
    port: u16,
    /// Connections, and requests that came through.
    seen: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Tls {
    fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let chain = vec![CertificateDer::from_pem_file(pem("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(pem("server.key")).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let counted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.0.fetch_add(1, Ordering::SeqCst);
                let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = rustls::StreamOwned::new(session, stream);
                let (mut head, mut some) = (Vec::new(), [0; 4096]);
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut some) {
                        Ok(read @ 1..) => head.extend_from_slice(&some[..read]),
                        // A client that does not know the CA goes.
                        _ => break,
                    }
                }
                if head.is_empty() {
                    continue;
                }
                counted.1.fetch_add(1, Ordering::SeqCst);
                let body = r#"{"instances": [], "total_count": 0}"#;
                let date = clock::now().format("%a, %d %b %Y %H:%M:%S GMT");
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Self { port, seen }
    }

    fn connections(&self) -> usize {
        self.seen.0.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.seen.1.load(Ordering::SeqCst)
    }

    fn configuration(&self, dir: &Path, schedule: &str) -> PathBuf {
        let file = dir.join("config.yaml");
        let text = format!(
            "version: 1\nstate_dir: {}\nlisten: 127.0.0.1:0\nprojects:\n  - {{name: prod, region: cn-north-4, project_id: pid, \
             endpoint: \"https://localhost:{}\"}}\npolicies:\n{}",
            dir.join("state").display(),
            self.port,
            policy("p", schedule, ""),
        );
        fs::write(&file, text).unwrap();
        file
    }

    fn command(file: &Path, ca: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
        command.arg("--config").arg(file).env_clear().stdin(Stdio::null());
        command.envs([
            ("HUAWEICLOUD_SDK_AK", "AKIDEXAMPLE00000001"),
            ("HUAWEICLOUD_SDK_SK", "secret"),
        ]);
        command.env("SSL_CERT_FILE", ca);
        command
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_accepted_names_ssl_cert_file_and_is_not_tried_again() {
    let (tls, dir) = (Tls::start(), tempfile::tempdir().unwrap());
    let file = tls.configuration(dir.path(), NEVER);
    let plan = |ca: &str| {
        let output = Tls::command(&file, &pem(ca))
            .args(["plan", "--format", "json"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = plan("stranger.pem");
    assert!(
        said.contains("SSL_CERT_FILE") && said.contains("UnknownIssuer"),
        "{said}"
    );
    // Once, and once again after the CA certificates were read again.
    assert_eq!((tls.connections(), tls.requests()), (2, 0));
    let said = plan("ca.pem");
    assert!(said.contains("\"skipped\":[]"), "{said}");
    // The list of instances, and that of deleted ones.
    assert_eq!(tls.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_ca_bundle_is_read_on_sighup() {
    let (tls, dir) = (Tls::start(), tempfile::tempdir().unwrap());
    // Rung every second: the first run finds the stranger's CA, and so does each later one, until the bundle is read again.
    let file = tls.configuration(dir.path(), "* * * * * *");
    let bundle = dir.path().join("bundle.pem");
    fs::copy(pem("stranger.pem"), &bundle).unwrap();
    let mut command = Tls::command(&file, &bundle);
    command.args(["run", "--log-format", "json"]);
    let mut daemon = Running::start(command).await;
    // After the second run it has read them again by itself, and does not do so for a minute.
    eventually("two runs fail", async || (tls.connections() >= 4).then_some(())).await;
    assert_eq!(tls.requests(), 0);
    fs::copy(pem("ca.pem"), &bundle).unwrap();
    daemon.signal("HUP");
    eventually("a request comes through", async || (tls.requests() > 0).then_some(())).await;
    assert!(daemon.stop().await.success());
}

/// A child that is killed when the test ends, however it ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pipe that is full: whoever writes to it waits.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let filling = writer.try_clone().unwrap();
    // Pipes hold 64 KiB, or less where many are open; what does not fit waits in a thread that ends when the pipe is read.
    std::thread::spawn(move || (&filling).write_all(&vec![b'\n'; 70_000]));
    let _ = writer.flush();
    (reader, Stdio::from(writer))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_error_that_nobody_reads_stops_neither_runs_nor_the_end() {
    let lab = Lab::start(8).await;
    let text = lab
        .text(&policy("p", "* * * * * *", ""), "")
        .replace("127.0.0.1:0", "none");
    fs::write(lab.file(), text).unwrap();
    let (mut unread, stderr) = full_pipe();
    let mut command = lab.command();
    command.args(["run", "--log-level", "debug"]).stderr(stderr);
    let mut child = Ended(command.spawn().unwrap());
    // It holds the pipe's other end.
    drop(command);
    eventually("what is due is deleted", async || {
        (deleted(&lab.simulator).len() == 5).then_some(())
    })
    .await;
    let calls = lab.simulator.calls().len();
    eventually("runs go on", async || {
        (lab.simulator.calls().len() > calls + 3).then_some(())
    })
    .await;
    let sent = Command::new("kill").arg(child.0.id().to_string()).status().unwrap();
    assert!(sent.success());
    let ended = eventually("the end", async || child.0.try_wait().unwrap()).await;
    assert!(ended.success(), "{ended}");
    // The honest twin: what waited is there for whoever reads at last, as far as the pipe took it.
    drop(child);
    let mut said = Vec::new();
    unread.read_to_end(&mut said).unwrap();
    assert!(said.len() >= 70_000);
}
