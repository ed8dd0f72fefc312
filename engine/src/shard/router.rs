//! Which core owns a key. Pure and stable: the virtual shard depends on the key alone, the core on
//! the virtual shard and the number of cores.

use crate::number::{to_u16, to_usize};
use crate::runtime::CoreId;
use ashlar_disk_format::constants::VIRTUAL_SHARDS;
use ashlar_disk_format::key::{
    Space, decode_bucket_key, decode_object_key, decode_part_key, decode_shared_key, decode_shared_ref_key,
    decode_unref_key, decode_upload_key, virtual_shard,
};
use ashlar_disk_format::units::{BucketId, VirtualShard};

/// Maps virtual shards to the cores of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Router {
    cores: u16,
}

impl Router {
    pub(crate) fn new(cores: u16) -> Self {
        assert!(cores > 0, "a process has a core");
        assert!(cores <= VIRTUAL_SHARDS, "a core owns at least one virtual shard");
        Self { cores }
    }

    /// The owner of a virtual shard.
    pub(crate) fn core(self, shard: VirtualShard) -> CoreId {
        let product = u32::from(shard.0) * u32::from(self.cores);
        CoreId(to_u16(to_usize(u64::from(product.div_euclid(u32::from(VIRTUAL_SHARDS))))))
    }

    /// The first and last virtual shard of a core.
    pub(crate) fn range(self, core: CoreId) -> (VirtualShard, VirtualShard) {
        let first = |core: u32| (core * u32::from(VIRTUAL_SHARDS)).div_ceil(u32::from(self.cores));
        let core = u32::from(core.0);
        let (start, end) = (first(core), first(core + 1));
        (VirtualShard(to_u16(start as usize)), VirtualShard(to_u16(end as usize - 1)))
    }

    /// The owner of an object's key.
    pub(crate) fn object(self, bucket: BucketId, key: &[u8]) -> CoreId {
        self.core(virtual_shard(bucket, key))
    }

    /// The owner of a bucket's name.
    pub(crate) fn bucket(self, name: &str) -> CoreId {
        self.core(bucket_shard(name))
    }
}

/// Virtual shard of a bucket's settings: bucket number 0 is never given to a bucket.
pub(crate) fn bucket_shard(name: &str) -> VirtualShard {
    virtual_shard(BucketId(0), name.as_bytes())
}

/// Virtual shard of any key of the index. Keys come from our own encoder; one that does not decode
/// is treated as belonging to shard 0, where the decoder's error surfaces when it is used.
pub(crate) fn vshard_of_key(key: &[u8]) -> VirtualShard {
    let Ok(space) = Space::of(key) else { return VirtualShard(0) };
    let shard = match space {
        Space::Bucket => decode_bucket_key(key).ok().map(|name| bucket_shard(&name)),
        Space::Object => decode_object_key(key).ok().map(|(bucket, name)| virtual_shard(bucket, &name)),
        Space::Upload => decode_upload_key(key).ok().map(|(bucket, name, _)| virtual_shard(bucket, &name)),
        Space::Part => decode_part_key(key).ok().map(|(bucket, name, _, _)| virtual_shard(bucket, &name)),
        Space::Shared => decode_shared_key(key).ok().map(|id| id.vshard()),
        Space::SharedRef => decode_shared_ref_key(key).ok().map(|(id, _)| id.vshard()),
        Space::Unref => decode_unref_key(key).ok().map(|(shard, _, _)| shard),
    };
    shard.unwrap_or(VirtualShard(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::key::{SharedId, shared_key, shared_ref_key, unref_key};

    #[test]
    fn what_is_to_be_done_about_a_shared_body_lies_with_who_does_it() {
        let (body, sharer) = (VirtualShard(7), VirtualShard(4000));
        let id = SharedId::new(body, [1; 14]);
        assert_eq!(vshard_of_key(&shared_key(id)), body);
        assert_eq!(vshard_of_key(&shared_ref_key(id, 1)), body);
        assert_eq!(vshard_of_key(&unref_key(sharer, id, 1)), sharer);
    }

    #[test]
    fn every_shard_has_the_owner_whose_range_holds_it() {
        for cores in [1, 2, 3, 7, 8, 64] {
            let router = Router::new(cores);
            let mut next = 0;
            for core in 0..cores {
                let (first, last) = router.range(CoreId(core));
                assert_eq!(first.0, next);
                for shard in [first, last] {
                    assert_eq!(router.core(shard), CoreId(core));
                }
                next = last.0 + 1;
            }
            assert_eq!(next, VIRTUAL_SHARDS);
        }
    }
}
