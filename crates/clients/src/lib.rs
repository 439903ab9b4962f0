//! Clients of AWS services, as they have to be made for AWS and for the local cloud alike.

use aws_config::SdkConfig;

/// A client of S3. A bucket has a host name of its own only on AWS: elsewhere its name goes into the path.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let path_style = config.endpoint_url().is_some();
    aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(config).force_path_style(path_style).build())
}
