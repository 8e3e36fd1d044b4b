//! The control socket.

use super::*;

#[test]
fn the_control_socket_is_on_off_or_elsewhere() {
    let listen = |text: &str| load(text, &[]).unwrap().control.listen;
    assert_eq!(listen("[control]\nlisten = true"), ControlSocket::InDataFolder);
    assert_eq!(listen("[control]\nlisten = false"), ControlSocket::Off);
    assert_eq!(listen("[control]\nlisten = \"/run/x.sock\""), ControlSocket::At("/run/x.sock".into()));
    let by = |text| load("", &[("INTERDICT_CONTROL__LISTEN", text)]).unwrap().control.listen;
    assert_eq!((by("false"), by("/run/x.sock")), (ControlSocket::Off, ControlSocket::At("/run/x.sock".into())));
    assert_faults("[control]\nlisten = 7", &[], &[("file:2: ", "true, false or a path")]);
    assert_faults("[control]\nlisten = \"\"", &[], &[("file:2: ", "`control.listen`")]);
}
