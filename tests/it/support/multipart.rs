//! The upload form, by hand.

pub const FORM: &str = "multipart/form-data; boundary=b0";

pub fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parts {
        // Only the photo is a file, as in a browser's form.
        let file = if *name == "image" {
            "; filename=\"x\""
        } else {
            ""
        };
        let head = format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b0--\r\n");
    body
}
