//! Fields that a listing names of a file's items, and fields that no item has.

use super::*;

#[tokio::test]
async fn what_no_item_has_is_an_error_that_names_it() {
    let documents = b"{\"id\":1,\"Category\":\"A\",\"attributes\":{\"price\":\"9.50\"}}\n{\"id\":2,\"Category\":\"B\",\"attributes\":{\"price\":\"10\",\"rank\":1},\"brand\":null}\n";
    let has = "the first item has `id`, `Category`, `attributes`";
    let (_directory, origin) = file("a.ndjson", documents);
    let misdeclared = "the definition does not fit the origin: no item has";
    let check = |error: OriginError, expect: &str| assert_eq!(message(&error), format!("{misdeclared} {expect}"));
    let optional = ". Where all items may lack it, say `optional = true`";
    check(
        all(&origin, ReadOrder::By(by(&["attributes.price"])))
            .await
            .unwrap_err(),
        &format!(
            "`attributes.price`, which sorts go by; {has}. A member of a member is a JSON pointer: `/attributes/price`{optional}"
        ),
    );
    check(
        collect(&origin, read(definition("{category}", ""), "A", &[], any_order(&[])))
            .await
            .unwrap_err(),
        &format!("`category`, which items are found by; {has}{optional}"),
    );
    check(
        origin.names("category", &["category".into()]).await.unwrap_err(),
        &format!("`category`, which names go by; {has}{optional}"),
    );
    let mut by_sku = definition("{category}", "");
    by_sku.id = "sku".into();
    by_sku.fields = vec![("category".into(), "Category".into())];
    check(
        collect(&origin, read(by_sku, "C", &[], any_order(&[])))
            .await
            .unwrap_err(),
        &format!("`sku`, which is the id; {has}"),
    );
    let mut by_number = by(&["Category"]);
    by_number[0].column.taken = Taken::Number;
    check(
        all(&origin, ReadOrder::By(by_number)).await.unwrap_err(),
        "a number at `Category`, which sorts go by; the first has `A`",
    );
    // One item has it, or says that it has none.
    for there in ["/attributes/rank", "brand"] {
        assert_eq!(ids(&all(&origin, ReadOrder::By(by(&[there]))).await.unwrap()).len(), 2);
    }
    let mut lacking = by(&["stars"]);
    lacking[0].column.optional = true;
    assert_eq!(
        ids(&all(&origin, ReadOrder::By(lacking.clone())).await.unwrap()),
        ["1", "2"]
    );
    for (name, bytes) in [("a.ndjson", &b"\n"[..]), ("a.json", b"[]"), ("a.csv", b"id\n")] {
        let (_directory, origin) = file(name, bytes);
        assert!(
            all(&origin, ReadOrder::By(lacking.clone())).await.unwrap().is_empty(),
            "{name}"
        );
    }
    let (_directory, origin) = file("a.ndjson", b"");
    assert!(
        all(&origin, any_order(&["x"])).await.unwrap().is_empty(),
        "without items nothing is missing"
    );
}

#[tokio::test]
async fn fields_may_be_pointers_spelt_otherwise_and_taken_for_numbers_or_texts() {
    let items = [r#""9.50","1.10""#, r#""10","1.1""#, r#""+2","1.10""#, r#""n/a","1.1""#];
    let lines_of = items.iter().zip(["a", "b", "c", "d"]).map(|(values, id)| {
        let (price, version) = values.split_once(',').unwrap();
        let version = version.trim_matches('"');
        format!("{{\"attributes\":{{\"sku\":\"{id}\",\"price\":{price},\"Version\":{version}}}}}\n")
    });
    let (_directory, origin) = file("a.ndjson", lines_of.collect::<String>().as_bytes());
    let field = |place: &str, taken| Field::new(place).taken_for(taken);
    let definition = || {
        let mut versions = definition("v{version}", "");
        versions.id = "/attributes/sku".into();
        versions.fields = vec![("version".into(), field("/attributes/Version", Taken::Text))];
        versions
    };
    let order = |taken| {
        let mut order = by(&["/attributes/price"]);
        order[0].column.taken = taken;
        ReadOrder::By(order)
    };
    let found = async |name: &str, taken| {
        let items = collect(&origin, read(definition(), name, &[], order(taken)))
            .await
            .unwrap();
        ids(&items).join(" ")
    };
    assert_eq!(found("v1.10", Taken::Number).await, "c a");
    assert_eq!(
        found("v1.1", Taken::Number).await,
        "b d",
        "values that are no numbers come last"
    );
    assert_eq!(found("v1.10", Taken::AsIs).await, "c a");
    let query = "/attributes/Version";
    let names = origin.names(query, &[definition().field_of("version")]).await.unwrap();
    assert_eq!(names.concat(), ["1.1", "1.10"]);
    let names = origin.names(query, &[field(query, Taken::Number)]).await.unwrap();
    assert_eq!(names.concat(), ["1.1"]);

    let (_directory, origin) = file("a.csv", b"SKU,price\n10,1\n9,2\n007,3\n");
    let mut by_sku = crate::origin::testing::definition("all", "");
    by_sku.id = field("SKU", Taken::Text);
    let items = collect(&origin, read(by_sku, "all", &[], ReadOrder::By(Vec::new())))
        .await
        .unwrap();
    let expect = "{\"SKU\":\"007\",\"price\":3}\n{\"SKU\":\"10\",\"price\":1}\n{\"SKU\":\"9\",\"price\":2}\n";
    assert_eq!(lines(&items), expect);
}

#[tokio::test]
async fn a_decimal_comma_is_read_where_the_origin_says_so() {
    let documents =
        br#"{"id":1,"price":"10,00"} {"id":2,"price":"9,50"} {"id":3,"price":9.75} {"id":4,"price":"1.200"}"#;
    let documents = documents.map(|byte| if byte == b' ' { b'\n' } else { byte });
    for (name, bytes, first) in [
        ("a.csv", &b"id;price\n1;10,00\n2;9,50\n4;1.200\n"[..], "2 1 4"),
        ("a.ndjson", &documents[..], "2 3 1 4"),
    ] {
        let (_directory, mut origin) = file(name, bytes);
        origin.csv.delimiter = Some(b';');
        origin.decimal_comma = true;
        let mut by_number = by(&["price"]);
        by_number[0].column.taken = Taken::Number;
        let items = all(&origin, ReadOrder::By(by_number)).await.unwrap();
        assert_eq!(ids(&items).join(" "), first, "{name}");
        let mut field = Field::new("price");
        field.taken = Taken::Number;
        let names = origin.names("price", &[field]).await.unwrap();
        assert!(names.contains(&vec!["9.5".to_owned()]), "{name}: {names:?}");
    }
    let (_directory, mut origin) = file("a.csv", b"id;price\n1;10,00\n2;9,50\n");
    origin.csv.delimiter = Some(b';');
    let mut by_number = by(&["price"]);
    by_number[0].column.taken = Taken::Number;
    let error = all(&origin, ReadOrder::By(by_number)).await.unwrap_err();
    assert!(
        message(&error).contains("say `decimal = \",\"` for its origin"),
        "{error}"
    );
}
