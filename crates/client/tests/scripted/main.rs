//! The clients against brokers that follow a script, over real sockets.

mod consuming;
mod controlling;
mod fake_broker;
mod flaky;
mod grouping;
mod producing;
mod talking;
