//! Datagrams over real sockets of the loopback device.

use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::*;

fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    if address.starts_with('[') {
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).unwrap();
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).unwrap();
    }
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// Takes datagrams until there are `count`.
fn taken(socket: &UdpSocket, count: usize) -> Vec<(Vec<u8>, Peer)> {
    let mut room = Incoming::batch();
    let mut all = Vec::new();
    while all.len() < count {
        let received = receive(socket, &mut room, Wait::First).unwrap();
        all.extend(room[..received].iter().map(|of| (of.octets().to_vec(), of.peer().unwrap())));
    }
    all
}

#[test]
fn a_batch_tells_of_each_datagram_who_sent_it_where_to() {
    for (any, ends) in [("0.0.0.0:0", ["127.0.0.1", "127.0.0.2"]), ("[::]:0", ["::1", "::1"])] {
        let server = socket(any);
        let port = server.local_addr().unwrap().port();
        let clients: Vec<UdpSocket> =
            ends.iter().map(|end| socket(&SocketAddr::new(end.parse().unwrap(), 0).to_string())).collect();
        for (number, (client, end)) in clients.iter().zip(ends).enumerate() {
            for _ in 0..BATCH {
                client.send_to(&[number as u8; 40], SocketAddr::new(end.parse().unwrap(), port)).unwrap();
            }
        }
        let all = taken(&server, 2 * BATCH);
        for (octets, peer) in &all {
            let from = usize::from(octets[0]);
            assert_eq!(octets.len(), 40);
            assert_eq!(peer.remote, clients[from].local_addr().unwrap());
            assert_eq!(peer.local.map(|local| local.address), Some(ends[from].parse().unwrap()), "{any}");
        }
        let mut letters: Vec<Letter> = all.iter().map(|_| Letter::new()).collect();
        for (letter, (octets, peer)) in letters.iter_mut().zip(&all) {
            letter.message.extend_from_slice(octets);
            letter.address_to(peer);
        }
        send(&server, &mut letters, |at| panic!("{at} is refused"));
        for (number, (client, end)) in clients.iter().zip(ends).enumerate() {
            for (octets, peer) in taken(client, BATCH) {
                assert_eq!((octets[0], octets.len()), (number as u8, 40));
                assert_eq!(
                    peer.remote,
                    SocketAddr::new(end.parse().unwrap(), port),
                    "it leaves from where it was asked"
                );
            }
        }
    }
}

#[test]
fn what_is_refused_does_not_keep_the_others_back() {
    let server = socket("127.0.0.1:0");
    let client = socket("127.0.0.1:0");
    let mut letters: Vec<Letter> = (0..5).map(|_| Letter::new()).collect();
    for (number, letter) in letters.iter_mut().enumerate() {
        letter.message.push(number as u8);
        // Port 0 takes nothing.
        let to = if number == 1 { "127.0.0.1:0".parse().unwrap() } else { client.local_addr().unwrap() };
        letter.address_to(&Peer::direct(to, None));
    }
    let mut refused = Vec::new();
    send(&server, &mut letters, |at| refused.push(at));
    assert_eq!(refused, [1]);
    let came: Vec<u8> = taken(&client, 4).iter().map(|(octets, _)| octets[0]).collect();
    assert_eq!(came, [0, 2, 3, 4]);
}

#[test]
fn room_is_bounded_and_used_again() {
    let server = socket("127.0.0.1:0");
    let client = socket("127.0.0.1:0");
    let mut room = Incoming::batch();
    assert_eq!(receive(&server, &mut room, Wait::Never).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    client.send_to(&[7; MAX_DATAGRAM + 100], server.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&server, &mut room, Wait::First).unwrap(), 1);
    assert_eq!(room[0].octets(), [7; MAX_DATAGRAM]);
    client.send_to(&[], server.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&server, &mut room, Wait::First).unwrap(), 1);
    assert_eq!((room[0].octets(), room[0].peer().map(|peer| peer.remote)), (&[][..], client.local_addr().ok()));
    assert_eq!(receive(&server, &mut [], Wait::Never).ok(), Some(0));
}
