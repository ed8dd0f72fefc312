//! Answers about configurations that were never set. Terraform, Cyberduck, Veeam and others poll them: each has
//! the document or the error that AWS gives, never 501 and never an empty body.

use crate::error::{S3Error, S3Failure};
use crate::xml::listing::Owner;
use crate::xml::writer::XmlWriter;

/// A configuration that can be asked for and was never set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsetConfiguration {
    /// `?versioning`
    Versioning,
    /// `?accelerate`
    Accelerate,
    /// `?requestPayment`
    RequestPayment,
    /// `?logging`
    Logging,
    /// `?notification`
    Notification,
    /// `?acl`, of a bucket or an object
    Acl,
    /// `?tagging` of an object
    ObjectTagging,
    /// `?cors`
    Cors,
    /// `?lifecycle`
    Lifecycle,
    /// `?policy`
    Policy,
    /// `?policyStatus`
    PolicyStatus,
    /// `?tagging` of a bucket
    BucketTagging,
    /// `?website`
    Website,
    /// `?encryption`
    Encryption,
    /// `?object-lock`
    ObjectLock,
    /// `?retention` or `?legal-hold` of an object
    ObjectRetention,
    /// `?replication`
    Replication,
    /// `?publicAccessBlock`
    PublicAccessBlock,
    /// `?ownershipControls`
    OwnershipControls,
    /// `?analytics`, `?inventory`, `?metrics` or `?intelligent-tiering` by id
    NumberedConfiguration,
    /// The same without id: their list
    ConfigurationList(&'static str),
    /// `?torrent`
    Torrent,
}

/// Writes the document that a 200 carries.
///
/// # Errors
/// The failure to send instead.
pub fn write(target: &mut Vec<u8>, what: UnsetConfiguration, owner: Owner<'_>) -> Result<(), S3Failure> {
    let mut empty = |root: &'static str| {
        XmlWriter::begin(target).root(root).close(root);
        Ok(())
    };
    let error = match what {
        UnsetConfiguration::Versioning => return empty("VersioningConfiguration"),
        UnsetConfiguration::Accelerate => return empty("AccelerateConfiguration"),
        UnsetConfiguration::Logging => return empty("BucketLoggingStatus"),
        UnsetConfiguration::Notification => return empty("NotificationConfiguration"),
        UnsetConfiguration::RequestPayment => {
            let mut xml = XmlWriter::begin(target);
            xml.root("RequestPaymentConfiguration").text("Payer", "BucketOwner");
            xml.close("RequestPaymentConfiguration");
            return Ok(());
        }
        UnsetConfiguration::ObjectTagging => {
            XmlWriter::begin(target).root("Tagging").open("TagSet").close("TagSet").close("Tagging");
            return Ok(());
        }
        UnsetConfiguration::ConfigurationList(root) => {
            XmlWriter::begin(target).root(root).boolean("IsTruncated", false).close(root);
            return Ok(());
        }
        UnsetConfiguration::Acl => {
            write_acl(target, owner);
            return Ok(());
        }
        UnsetConfiguration::Cors => S3Error::NoSuchCORSConfiguration,
        UnsetConfiguration::Lifecycle => S3Error::NoSuchLifecycleConfiguration,
        UnsetConfiguration::Policy | UnsetConfiguration::PolicyStatus => S3Error::NoSuchBucketPolicy,
        UnsetConfiguration::BucketTagging => S3Error::NoSuchTagSet,
        UnsetConfiguration::Website => S3Error::NoSuchWebsiteConfiguration,
        UnsetConfiguration::Encryption => S3Error::ServerSideEncryptionConfigurationNotFoundError,
        UnsetConfiguration::ObjectLock => S3Error::ObjectLockConfigurationNotFoundError,
        UnsetConfiguration::ObjectRetention => S3Error::NoSuchObjectLockConfiguration,
        UnsetConfiguration::Replication => S3Error::ReplicationConfigurationNotFoundError,
        UnsetConfiguration::PublicAccessBlock => S3Error::NoSuchPublicAccessBlockConfiguration,
        UnsetConfiguration::OwnershipControls => S3Error::OwnershipControlsNotFoundError,
        UnsetConfiguration::NumberedConfiguration => S3Error::NoSuchConfiguration,
        UnsetConfiguration::Torrent => S3Error::NoSuchKey,
    };
    Err(error.into())
}

/// Writes `LocationConstraint`: empty for us-east-1, as AWS has it.
pub fn location(target: &mut Vec<u8>, region: &str) {
    let mut xml = XmlWriter::begin(target);
    let shown = if region == "us-east-1" { "" } else { region };
    xml.root_text("LocationConstraint", shown);
}

fn write_acl(target: &mut Vec<u8>, owner: Owner<'_>) {
    let mut xml = XmlWriter::begin(target);
    xml.root("AccessControlPolicy");
    owner.write(&mut xml, "Owner");
    xml.open("AccessControlList").open("Grant").grantee();
    xml.text("ID", owner.id).text("DisplayName", owner.display_name).close("Grantee");
    xml.text("Permission", "FULL_CONTROL")
        .close("Grant")
        .close("AccessControlList")
        .close("AccessControlPolicy");
}

#[cfg(test)]
mod tests {
    use super::{UnsetConfiguration, location, write};
    use crate::error::S3Error;
    use crate::xml::listing::Owner;

    fn answer(what: UnsetConfiguration) -> Result<String, S3Error> {
        let mut target = Vec::new();
        let owner = Owner { id: "i", display_name: "d" };
        write(&mut target, what, owner).map_err(|failure| failure.error)?;
        let text = String::from_utf8(target).unwrap();
        Ok(text.replace(" xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"", "").split_off(39))
    }

    #[test]
    fn golden_answers() {
        let rows = [
            (UnsetConfiguration::Versioning, Ok("<VersioningConfiguration></VersioningConfiguration>")),
            (UnsetConfiguration::Logging, Ok("<BucketLoggingStatus></BucketLoggingStatus>")),
            (
                UnsetConfiguration::RequestPayment,
                Ok("<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>"),
            ),
            (UnsetConfiguration::ObjectTagging, Ok("<Tagging><TagSet></TagSet></Tagging>")),
            (UnsetConfiguration::Cors, Err(S3Error::NoSuchCORSConfiguration)),
            (UnsetConfiguration::Policy, Err(S3Error::NoSuchBucketPolicy)),
            (UnsetConfiguration::BucketTagging, Err(S3Error::NoSuchTagSet)),
            (UnsetConfiguration::ObjectLock, Err(S3Error::ObjectLockConfigurationNotFoundError)),
            (UnsetConfiguration::Torrent, Err(S3Error::NoSuchKey)),
            (
                UnsetConfiguration::ConfigurationList("ListInventoryConfigurationsResult"),
                Ok("<ListInventoryConfigurationsResult><IsTruncated>false</IsTruncated>\
                    </ListInventoryConfigurationsResult>"),
            ),
            (
                UnsetConfiguration::Acl,
                Ok(
                    "<AccessControlPolicy><Owner><ID>i</ID><DisplayName>d</DisplayName></Owner><AccessControlList>\
                    <Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                    xsi:type=\"CanonicalUser\"><ID>i</ID><DisplayName>d</DisplayName></Grantee>\
                    <Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>",
                ),
            ),
        ];
        for (what, expected) in rows {
            assert_eq!(answer(what), expected.map(str::to_owned), "{what:?}");
        }
    }

    #[test]
    fn the_first_region_has_no_name() {
        let shown = |region| {
            let mut target = Vec::new();
            location(&mut target, region);
            String::from_utf8(target).unwrap()
        };
        assert!(shown("us-east-1").ends_with("2006-03-01/\"></LocationConstraint>"));
        assert!(shown("eu-1").ends_with(">eu-1</LocationConstraint>"));
    }
}
