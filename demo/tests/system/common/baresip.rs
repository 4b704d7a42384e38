//! baresip as a phone: says a WAV file, records what it hears.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use trunkline_demo::network::Layout;

use super::Peer;

const MODULES: &str = "/usr/lib/baresip/modules";

/// A baresip phone.
#[derive(Debug)]
pub struct Baresip {
    folder: PathBuf,
    log: PathBuf,
}

impl Baresip {
    /// A free address for a phone.
    ///
    /// baresip binds its RTP sockets to no address, so on the loopback network its packets come
    /// from 127.0.0.1 whatever it tells its peer; only there does it tell the truth.
    /// It listens for UDP and TCP there, and for TLS one port above.
    pub fn free_address() -> SocketAddr {
        let free = |port| {
            let at = (Ipv4Addr::LOCALHOST, port);
            UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok()
        };
        // Below the ports that the system gives to whoever asks for any, and never one that
        // another test has been told and does not use yet.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let first = 10_000 + u16::from(std::process::id().to_le_bytes()[0]) * 64;
        let port = std::iter::repeat_with(|| first + NEXT.fetch_add(2, Ordering::Relaxed) % 64)
            .take(32)
            .find(|&port| free(port) && free(port + 1));
        (Ipv4Addr::LOCALHOST, port.expect("a free port")).into()
    }

    /// A phone that speaks `codec` and says `speak`, a WAV file of 8 kHz; it ends the call when it
    /// has said all of it. Answers calls by itself.
    pub fn at(layout: &Layout, address: SocketAddr, codec: &str, speak: &Path) -> Self {
        Self::with(layout, address, codec, speak, "")
    }

    /// The same, with SRTP and nothing else.
    pub fn secure(layout: &Layout, address: SocketAddr, codec: &str, speak: &Path) -> Self {
        Self::with(layout, address, codec, speak, ";mediaenc=srtp-mand")
    }

    fn with(
        layout: &Layout,
        address: SocketAddr,
        codec: &str,
        speak: &Path,
        parameters: &str,
    ) -> Self {
        let folder = layout.file("baresip");
        std::fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).expect("the configuration is written");
        };
        write(
            "config",
            format!(
                "sip_listen {address}\nnet_interface {}\n\
                 audio_player aubridge,x\naudio_source aufile,{}\naudio_alert aubridge,y\n\
                 ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
                 snd_path {}\nmodule_path {MODULES}\n\
                 module g711.so\nmodule opus.so\nopus_stereo no\nopus_sprop_stereo no\n\
                 module auresamp.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n\
                 module srtp.so\n\
                 module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n",
                address.ip(),
                speak.display(),
                folder.display(),
            ),
        );
        write(
            "accounts",
            format!(
                "<sip:baresip@{address}>;regint=0;audio_codecs={codec};answermode=auto{parameters}\n"
            ),
        );
        write("contacts", String::new());
        Self { log: layout.file("baresip.log"), folder }
    }

    /// Calls `number` at `gateway`; the program ends after `end_after_s`.
    pub fn call(&self, gateway: Ipv4Addr, number: &str, end_after_s: u32) -> Peer {
        self.start(&["-e", &format!("dsip:{number}@{gateway}")], end_after_s)
    }

    /// Waits for a call; the program ends after `end_after_s`.
    pub fn answer(&self, end_after_s: u32) -> Peer {
        let peer = self.start(&[], end_after_s);
        super::wait_for("baresip is ready", std::time::Duration::from_secs(5), || {
            self.said().contains("baresip is ready").then_some(())
        });
        peer
    }

    /// What it printed.
    pub fn said(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The file with what it heard in its last call.
    pub fn heard(&self) -> PathBuf {
        std::fs::read_dir(&self.folder)
            .expect("its folder")
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .max_by_key(|path| path.metadata().and_then(|file| file.modified()).ok())
            .unwrap_or_else(|| panic!("baresip recorded nothing: {}", self.said()))
    }

    fn start(&self, arguments: &[&str], end_after_s: u32) -> Peer {
        let mut command = Command::new("baresip");
        command.current_dir(&self.folder).arg("-4").arg("-f").arg(&self.folder);
        command.args(["-t", &end_after_s.to_string()]).args(arguments);
        Peer::start(&mut command, &self.log)
    }
}
