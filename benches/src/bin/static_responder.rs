//! The yardstick as a process of its own, so that its CPU time can be counted like any server's.

use ashlar_benches::responder::Responder;
use clap::Parser;
use std::net::{SocketAddr, TcpListener};

#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9149")]
    listen: SocketAddr,
}

fn main() -> std::io::Result<()> {
    Responder::new(TcpListener::bind(Arguments::parse().listen)?)?.run()
}
