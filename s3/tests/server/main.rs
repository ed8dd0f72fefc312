//! The real server over the real engine in the simulator, spoken to byte by byte.

#[cfg(test)]
mod buckets;
#[cfg(test)]
mod client;
#[cfg(test)]
mod conditions;
#[cfg(test)]
mod http;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod multipart;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod rig;
