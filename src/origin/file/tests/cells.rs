//! Cells of CSV, as spreadsheets and databases write them.

use super::*;

#[tokio::test]
async fn ids_of_csv_may_be_texts_and_values_may_be_quoted() {
    let (_directory, origin) = file(
        "a.csv",
        "\u{feff}id,price,code\r\n007,1.50,\"a\"\"b\nc\"\r\nx,+2,\r\n".as_bytes(),
    );
    let items = all(&origin, ReadOrder::By(by(&["price"]))).await.unwrap();
    assert_eq!(
        lines(&items),
        "{\"id\":\"007\",\"price\":1.50,\"code\":\"a\\\"b\\nc\"}\n{\"id\":\"x\",\"price\":\"+2\",\"code\":null}\n"
    );
}

#[tokio::test]
async fn what_spreadsheets_write_is_read() {
    // Unnamed columns, a row of empty cells, an empty cell too many, carriage returns, quoted numbers.
    let rows = "id,name,rating,,\r\n1,\"TV\",\"4.5\",,\r\n2,Radio,,x,\r\n,,,,\r\n3,\"La,mp\",3,,,,\r\n,,,,\r\n\r\n";
    let expect = "{\"id\":3,\"name\":\"La,mp\",\"rating\":3}\n{\"id\":1,\"name\":\"TV\",\"rating\":4.5}\n{\"id\":2,\"name\":\"Radio\",\"rating\":null}\n";
    let semicolons = || {
        rows.replace("La,mp", "La;mp")
            .replace([','], ";")
            .replace("La;mp", "La,mp")
    };
    let utf16 = |text: &str| -> Vec<u8> {
        "\u{feff}"
            .chars()
            .chain(text.chars())
            .flat_map(|c| (c as u16).to_le_bytes())
            .collect()
    };
    for (name, bytes) in [
        ("a.csv", rows.as_bytes().to_vec()),
        ("a.csv", format!("\u{feff}{rows}").into_bytes()),
        ("a.csv", format!("sep=;\r\n{}", semicolons()).into_bytes()),
        ("a.csv", format!("\u{feff}sep=;\n{}", semicolons()).into_bytes()),
        ("a.tsv", semicolons().replace(';', "\t").into_bytes()),
        ("a.tsv.gz", packed(semicolons().replace(';', "\t").as_bytes())),
        ("a.csv", utf16(rows)),
    ] {
        let (_directory, origin) = file(name, &bytes);
        let items = all(&origin, ReadOrder::By(by(&["rating"]))).await.unwrap();
        assert_eq!(lines(&items), expect, "{name} {bytes:?}");
    }
    let (_directory, mut origin) = file("a.csv", b"id;name\n1;Gr\xf6\xdfe\n2;\x80\n");
    assert!(
        matches!(all(&origin, any_order(&[])).await, Err(OriginError::Damaged(reason)) if reason.starts_with("line 2: not UTF-8"))
    );
    origin.csv = CsvConfig {
        delimiter: Some(b';'),
        encoding: Some(encoding_rs::WINDOWS_1252),
    };
    let items = all(&origin, any_order(&[])).await.unwrap();
    assert_eq!(
        lines(&items),
        "{\"id\":1,\"name\":\"Größe\"}\n{\"id\":2,\"name\":\"€\"}\n"
    );
}

#[tokio::test]
async fn an_id_and_a_name_are_the_text_of_their_cell() {
    let (_directory, origin) = file("a.csv", b"id,version\n90.750,1.10\n91,1.1\n90.75,1.10\n007,1.1\n");
    let versions = definition("v{version}", "");
    let items = collect(&origin, read(versions, "v1.10", &[], ReadOrder::By(by(&["version"]))))
        .await
        .unwrap();
    assert_eq!(
        lines(&items),
        "{\"id\":\"90.75\",\"version\":1.10}\n{\"id\":\"90.750\",\"version\":1.10}\n"
    );
    let names = origin.names("version", &["version".into()]).await.unwrap();
    assert_eq!(names.concat(), ["1.1", "1.10"]);
    let items = all(&origin, ReadOrder::By(Vec::new())).await.unwrap();
    assert_eq!(ids(&items), ["91", "007", "90.75", "90.750"]);
    assert_eq!(items[0].id, SortValue::Integer(91));
}
