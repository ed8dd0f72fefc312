//! Every whole-system test, one behaviour per module, in one program.

mod crash_consistency;
mod device_loss;
mod model_conformance;
mod scrub_repair;
#[cfg(test)]
mod server;
mod slice;
mod space;
