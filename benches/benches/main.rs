//! The parts of the data path, measured one by one, in one program, each beside what bounds it.
#![expect(clippy::print_stdout, reason = "ceilings that are computed stand beside what is measured")]

mod ceiling;

mod buffer_pool;
mod checksum;
mod erasure;
mod index_lookup;
mod lanes;
mod list_page;
mod request_head;

criterion::criterion_main!(
    buffer_pool::benches,
    checksum::benches,
    erasure::benches,
    index_lookup::benches,
    lanes::benches,
    list_page::benches,
    request_head::benches
);
