//! What a page of somebody hostile may hand to the phone. The program is started as a desktop starts
//! it, with `--yes` where a yes could do harm, and with listening sockets where it might call.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use trunkline_number::{LinkedData, SigningKey};

/// Longest time for the phone to turn something down.
const PATIENCE: Duration = Duration::from_secs(10);

/// A person's machine: a directory and a gateway that notice every packet, and shells that notice
/// that they were started.
struct Machine {
    folder: tempfile::TempDir,
    directory: UdpSocket,
    gateway: UdpSocket,
    key: SigningKey,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let traps = folder.path().join("traps");
        std::fs::create_dir(&traps).unwrap();
        for program in ["sh", "bash", "dash", "xdg-open", "reboot", "touch", "gsettings"] {
            let trap = traps.join(program);
            let marker = folder.path().join("sprung");
            let text = format!("#!/bin/sh\necho {program} >>{}\n", marker.display());
            std::fs::write(&trap, text).unwrap();
            std::fs::set_permissions(&trap, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let listen = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            socket
        };
        let key = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap();
        let machine = Self { folder, directory: listen(), gateway: listen(), key };
        let configuration = format!(
            "directory: ['{}']\ntrusted_keys: ['{}']\nsound: {{ use: nothing }}\n",
            machine.directory.local_addr().unwrap(),
            machine.key.public_key(),
        );
        std::fs::write(machine.path("phone.yaml"), configuration).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn gateway(&self) -> String {
        self.gateway.local_addr().unwrap().to_string()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// Opens something, as a desktop entry does.
    fn open(&self, target: &str, yes: &[&str]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline-phone"))
            .arg("--config")
            .arg(self.path("phone.yaml"))
            .arg("open")
            .args(yes)
            .args(["--", target])
            .env("PATH", self.path("traps"))
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("{target:?} keeps the phone");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().unwrap()
    }

    fn packets(socket: &UdpSocket) -> usize {
        let mut packet = [0; 2_000];
        std::iter::from_fn(|| socket.recv(&mut packet).ok()).count()
    }

    /// Opens something that is to be turned down before anybody is asked or called.
    fn refuses(&self, target: &str) {
        let output = self.open(target, &["--yes"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{target:?}: {said}");
        assert!(said.starts_with("Not called: "), "{target:?}: {said}");
        assert!(!said.contains('\u{1b}'), "{target:?}: no escape sequence reaches a terminal");
        self.nothing_happened(target);
    }

    fn nothing_happened(&self, target: &str) {
        assert_eq!(Self::packets(&self.gateway), 0, "{target:?}: a packet to the gateway");
        assert_eq!(Self::packets(&self.directory), 0, "{target:?}: a packet to the directory");
        let sprung = std::fs::read_to_string(self.path("sprung"));
        assert!(sprung.is_err(), "{target:?} started {sprung:?}");
    }
}

fn linked_data(number: &str, gateway: &str) -> String {
    format!(r#"{{"application": "Trunkline Phone", "number": "{number}", "gateway": "{gateway}"}}"#)
}

#[test]
fn files_that_are_no_linked_data_are_refused_and_left_where_they_are() {
    let machine = Machine::new();
    let plain = linked_data("03-3333-1234", &machine.gateway());
    let deep = "[".repeat(2_000);
    let contents: [(&str, Vec<u8>); 12] = [
        ("large.vlf", vec![b' '; 1 << 20]),
        ("padded.vlf", format!("{plain}{}", " ".repeat(4_096)).into_bytes()),
        ("empty.vlf", Vec::new()),
        ("program.vlf", b"\x7fELF\x02\x01\x01\0\0\0\xff\xfe".to_vec()),
        ("script.vlf", b"#!/bin/sh\ntouch sprung\n".to_vec()),
        ("page.vlf", b"<html><script>alert(1)</script></html>".to_vec()),
        ("deep.vlf", deep.into_bytes()),
        ("array.vlf", br#"["Trunkline Phone", "03-3333-1234"]"#.to_vec()),
        ("twice.vlf", plain.replace('}', r#", "number": "119"}"#).into_bytes()),
        ("more.vlf", plain.replace('}', r#", "exec": "sh"}"#).into_bytes()),
        ("two.vlf", plain.repeat(2).into_bytes()),
        ("escape.vlf", plain.replace("03-", "\\u001b[2J03-").into_bytes()),
    ];
    for (name, content) in contents {
        let path = machine.file(name, content);
        machine.refuses(&path);
        assert!(Path::new(&path).exists(), "{name} is not ours to delete");
    }
    let named = machine.file("number 03-3333-1234.txt", "a letter to a friend");
    machine.refuses(&named);
    assert!(Path::new(&named).exists());
}

#[test]
fn folders_pipes_and_devices_do_not_keep_the_phone() {
    let machine = Machine::new();
    let pipe = machine.path("pipe.vlf");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    machine.refuses(&pipe.to_string_lossy());
    machine.refuses(&machine.folder.path().to_string_lossy());
    for device in ["/dev/zero", "/dev/stdin", "file:///dev/zero", "/proc/self/mem", "/nowhere.vlf"]
    {
        machine.refuses(device);
    }
}

#[test]
fn expired_changed_and_wrongly_signed_data_is_refused() {
    let machine = Machine::new();
    let data = |expires| {
        let gateway = machine.gateway();
        LinkedData::new("Trunkline Phone", "03-3333-1234", Some(&gateway), Some(expires)).unwrap()
    };
    let stranger = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap();
    let far = 4_000_000_000;
    let good = data(far).sign(&machine.key).to_json();
    for (name, content) in [
        ("expired.vlf", data(1_000_000_000).sign(&machine.key).to_json()),
        ("unsigned-expired.vlf", data(1_000_000_000).to_json()),
        ("stranger.vlf", data(far).sign(&stranger).to_json()),
        ("number.vlf", good.replace("03-3333-1234", "03-3333-9999")),
        ("later.vlf", good.replace("4000000000", "4000000001")),
        ("gateway.vlf", good.replace("127.0.0.1", "127.0.0.2")),
    ] {
        machine.refuses(&machine.file(name, content));
    }
}

#[test]
fn options_shell_characters_and_other_links_are_refused() {
    let machine = Machine::new();
    for target in [
        "--yes",
        "--config=/etc/passwd",
        "-h",
        "tel:--yes",
        "tel:03-3333-1234 --yes",
        "tel:$(reboot)",
        "tel:`reboot`",
        "tel:0333331234;reboot=`reboot`;ext=1",
        "tel:0333331234|sh",
        "tel:0333331234&&reboot",
        "tel:0333331234%0areboot",
        "tel:0333331234\nreboot",
        "tel:%1b]0;owned%07",
        "tel:0333331234%00",
        "$(reboot)",
        "| sh",
        "http://example.com/call",
        "javascript:alert(1)",
        "sip:0333331234@gateway.evil.example",
        "file://gateway.evil.example/share/x.vlf",
        "smb://gateway.evil.example/x.vlf",
        "",
    ] {
        machine.refuses(target);
    }
    // No program of the operating system takes a longer argument than 128 KiB.
    machine.refuses(&format!("tel:{}", "3".repeat(100_000)));
}

#[test]
fn numbers_that_cost_or_help_or_are_too_long_are_refused_in_links_and_files() {
    let machine = Machine::new();
    for number in [
        "110",
        "118",
        "119",
        "112",
        "911",
        "+81110",
        "+1911",
        "１１９",
        "0990-123-456",
        "+81990123456",
        "+19005551234",
        "+8816123456789",
        "*21*0333331234#",
        "184",
        "#31#",
        "12345678901234567890",
        "+8133333123412345678",
        "0333331234w1",
        "0333331234,,1",
    ] {
        machine.refuses(&format!("tel:{number}"));
        machine.refuses(&machine.file("x.vlf", linked_data(number, &machine.gateway())));
    }
}

#[test]
fn what_is_right_is_called_after_a_yes_only_and_a_page_chooses_no_gateway() {
    let machine = Machine::new();
    let gateway = machine.gateway();
    let signed = |number: &str| {
        LinkedData::new("Trunkline Phone", number, Some(&gateway), Some(4_000_000_000))
            .unwrap()
            .sign(&machine.key)
            .to_json()
    };
    // Nobody is there to say yes.
    let output = machine.open(&machine.file("a.vlf", signed("03-3333-1234")), &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("nobody could be asked"), "{said}");
    machine.nothing_happened("without a yes");

    // A page without a signature names its gateway: the directory is asked instead.
    let unsigned = machine.file("b.vlf", linked_data("03-3333-1234", &gateway));
    machine.open(&unsigned, &["--yes", "--silent"]);
    assert_eq!(Machine::packets(&machine.gateway), 0, "not to the gateway of the page");
    assert!(Machine::packets(&machine.directory) > 0, "to the directory");

    // The same file with a signature is called: the sockets above do notice.
    machine.open(&machine.file("c.vlf", signed("03-3333-1234")), &["--yes", "--silent"]);
    let mut packet = [0; 4_000];
    let length = machine.gateway.recv(&mut packet).expect("an INVITE");
    let invite = String::from_utf8_lossy(&packet[..length]).into_owned();
    assert!(invite.starts_with("INVITE sip:+81333331234@"), "{invite}");
    assert!(!invite.to_ascii_lowercase().contains("authorization"), "{invite}");
}
