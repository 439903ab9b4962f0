use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;

/// A client of S3. With a configured endpoint, the bucket's name is part of the path: only AWS has a host for each bucket.
pub fn s3(config: &SdkConfig) -> Client {
    let path_style = config.endpoint_url().is_some();
    Client::from_conf(Builder::from(config).force_path_style(path_style).build())
}
