//! The parts of the data path, measured one by one, in one program.

mod buffer_pool;
mod checksum;
mod erasure;
mod index_lookup;
mod lanes;
mod request_head;

criterion::criterion_main!(
    buffer_pool::benches,
    checksum::benches,
    erasure::benches,
    index_lookup::benches,
    lanes::benches,
    request_head::benches
);
