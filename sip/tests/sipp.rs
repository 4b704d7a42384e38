//! SIPp as the far end, with its own scenarios.

mod common;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use common::*;
use tokio::process::{Child, Command};
use trunkline_sip::{Event, Transport};

const CALLS: usize = 20;

/// Starts sipp in a folder of its own, or says why not. With CI set it must be there.
fn sipp(folder: &tempfile::TempDir, arguments: &[&str]) -> Option<Child> {
    let started = Command::new("sipp")
        .args(arguments)
        .args(["-i", "127.0.0.1", "-nostdin", "-m", &CALLS.to_string()])
        .current_dir(folder.path())
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    match started {
        Ok(child) => Some(child),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "sipp must be installed: {error}");
            println!("skipped: sipp: {error}");
            None
        }
    }
}

async fn succeeds(mut child: Child) {
    let status = tokio::time::timeout(Duration::from_secs(30), child.wait())
        .await
        .expect("sipp ends")
        .unwrap();
    assert!(status.success(), "sipp: {status}");
}

fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn sipp_calls_us() {
    for (transport, mode) in [(Transport::Udp, "u1"), (Transport::Tcp, "t1")] {
        let (b, mut events) = endpoint().await;
        let folder = tempfile::tempdir().unwrap();
        let to = address(&b, transport).to_string();
        let port = free_port().to_string();
        let Some(child) = sipp(
            &folder,
            &[
                "-sn",
                "uac",
                &to,
                "-t",
                mode,
                "-p",
                &port,
                "-s",
                "+81333331234",
                "-r",
                "50",
                "-d",
                "100",
            ],
        ) else {
            return end([b]).await;
        };
        let mut byes = 0;
        while byes < CALLS {
            match next(&mut events).await {
                Event::Invite(invite) => {
                    assert_eq!(invite.request_uri.user, "+81333331234");
                    assert!(invite.sdp.is_some());
                    b.provisional(invite.leg, 180, None).unwrap();
                    b.answer(invite.leg, ANSWER.to_vec()).unwrap();
                }
                Event::Acked { .. } => {}
                Event::Bye { .. } => byes += 1,
                other => panic!("{other:?}"),
            }
        }
        succeeds(child).await;
        all_forgotten(&b).await;
        end([b]).await;
    }
}

#[tokio::test]
async fn we_call_sipp() {
    for (transport, mode) in [(Transport::Udp, "u1"), (Transport::Tcp, "t1")] {
        let (a, mut events) = endpoint().await;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let Some(child) = sipp(&folder, &["-sn", "uas", "-t", mode, "-p", &port.to_string()])
        else {
            return end([a]).await;
        };
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        up(to, transport).await;
        for _ in 0..CALLS {
            call_address(&a, to, transport);
        }
        let mut answered = 0;
        while answered < CALLS {
            match next(&mut events).await {
                Event::Provisional { status: 180, .. } => {}
                Event::Answered { leg, sdp } => {
                    assert!(sdp.is_some());
                    answered += 1;
                    a.hangup(leg, Some(16)).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        nothing_left(&a).await;
        succeeds(child).await;
        end([a]).await;
    }
}

/// Waits until sipp has its address.
async fn up(address: SocketAddr, transport: Transport) {
    for _ in 0..200 {
        let taken = match transport {
            Transport::Udp => std::net::UdpSocket::bind(address).is_err(),
            Transport::Tcp => std::net::TcpListener::bind(address).is_err(),
        };
        if taken {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("sipp does not listen");
}
