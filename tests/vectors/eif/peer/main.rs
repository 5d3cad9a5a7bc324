// FOLDER [sign] | verify FILE. Builds an image with AWS's own library: kernel, cmdline, two ramdisks, optional signature. Prints its registers.
use aws_nitro_enclaves_image_format::defs::{EifBuildInfo, EifIdentityInfo};
use aws_nitro_enclaves_image_format::utils::{EifBuilder, PcrSignatureChecker, SignEnclaveInfo};
use serde_json::json;
use sha2::{Digest, Sha384};
use std::env;
use std::fs::OpenOptions;
use std::path::Path;

fn main() {
    let args: Vec<String> = env::args().collect();
    if args[1] == "verify" {
        let mut checker = PcrSignatureChecker::from_eif(&args[2]).unwrap();
        println!("{:?}", checker.verify());
        return;
    }
    let folder = Path::new(&args[1]);
    let sign = args.len() > 2;
    let info = EifIdentityInfo {
        img_name: "peer".into(),
        img_version: "1".into(),
        build_info: EifBuildInfo {
            build_time: "1970-01-01T00:00:00+00:00".into(),
            build_tool: "qnsp-policy".into(),
            build_tool_version: "0".into(),
            img_os: "Linux".into(),
            img_kernel: "6.1".into(),
        },
        docker_info: json!(null),
        custom_info: json!({"a": 1}),
    };
    let signer = if sign { Some(SignEnclaveInfo::new(folder.join("cert.pem").to_str().unwrap(), folder.join("key.pem").to_str().unwrap()).unwrap()) } else { None };
    let mut build = EifBuilder::new(&folder.join("kernel"), "console=ttyS0 reboot=k".to_string(), signer, Sha384::new(), 0, info);
    build.add_ramdisk(&folder.join("ramdisk0"));
    build.add_ramdisk(&folder.join("ramdisk1"));
    let mut out = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(folder.join(if sign { "signed.eif" } else { "plain.eif" })).unwrap();
    println!("{}", serde_json::to_string_pretty(&build.write_to(&mut out)).unwrap());
}
