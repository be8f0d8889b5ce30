use serde_json::json;

use super::*;

fn csv(text: &str) -> (Head, Rows) {
    let head = head(Format::Csv, text.as_bytes()).unwrap();
    let rows = rows(Format::Csv, &head.columns, &text.as_bytes()[head.length..], Rest::Nothing, 1000);
    (head, rows)
}

fn values(rows: Rows) -> Vec<Value> {
    rows.rows.into_iter().map(|row| Value::Object(row.unwrap())).collect()
}

fn messages(rows: &Rows) -> Vec<String> {
    let told = |problem: &Problem| format!("{} {}", problem.path, problem.message);
    rows.rows.iter().map(|row| row.as_ref().map_or_else(|problems| told(&problems[0]), |_| "good".to_owned())).collect()
}

#[test]
fn columns_are_members_and_empty_cells_are_absent() {
    let text = "serialNumber,holder.name,holder.address.city,downloadLimit\r\nA-1,\"Ada, \"\"Countess\"\"\",London,3\r\nA-2,,,\r\n";
    let (_, rows) = csv(text);
    let ada = json!({ "name": "Ada, \"Countess\"", "address": { "city": "London" } });
    let expected =
        [json!({ "serialNumber": "A-1", "holder": ada, "downloadLimit": 3 }), json!({ "serialNumber": "A-2" })];
    assert_eq!(values(rows), expected);
}

#[test]
fn a_file_that_ends_within_quotation_marks_is_told() {
    let (_, rows) = csv("serialNumber,holder.name\nA-1,5\" pipe\nA-2,\"Ada\nA-3,Grace\nA-4,Alan\n");
    let told = messages(&rows);
    assert_eq!((told.len(), told[0].as_str()), (2, "good"));
    assert!(told[1].contains("quotation marks"), "{told:?}");
    let (_, rows) = csv("serialNumber,holder.name\nA-1,5\" pipe");
    assert_eq!(messages(&rows), ["good"]);
    // Also where the row before ends as Windows ends lines.
    let (_, rows) = csv("holder.name\r\n\"Ada\"\r\n\"Grace\r\nAlan\r\n");
    let told = messages(&rows);
    assert!(told.len() == 2 && told[0] == "good" && told[1].contains("quotation marks"), "{told:?}");
}

#[test]
fn a_quotation_mark_that_is_missing_in_the_midst_is_told() {
    for swallowed in ["A-2,\"Bob\nA-3,\"Grace\"\n", "A-2,\"Bob\nA-3,\"Gr\n", "A-2,\"Bob\"by\"\n"] {
        let (_, rows) = csv(&format!("serialNumber,holder.name\nA-1,\"Ada\"\n{swallowed}A-4,Alan\n"));
        let told = messages(&rows);
        assert_eq!((told.len(), &*told[0], &*told[2]), (3, "good", "good"), "{swallowed}");
        assert!(told[1].contains("quotation mark"), "{told:?}");
    }
    let (_, rows) = csv("serialNumber,holder.name\n\"A-1\",\"\"\nA-2,\"\"\"Ada\"\"\"\nA-3,\"\n\"\n");
    assert_eq!(messages(&rows), ["good", "good", "good"]);
}

/// As a spreadsheet writes rows whose cells were emptied: no pass for nobody.
#[test]
fn a_row_of_empty_cells_is_told() {
    let (_, rows) = csv("serialNumber,holder.name\nA-1,Ada\n,\n,\"\"\n\nA-2,\n");
    assert_eq!(messages(&rows), ["good", " is empty", " is empty", "good"]);
}

#[test]
fn a_cell_may_hold_lines_and_the_holder_may_be_json() {
    let (head, rows) = csv("\u{feff}holder\n\"{\"\"name\"\": \"\"A\n\"\"}\"\n\"{\"\"n\"\":1}\"");
    assert_eq!(head.columns, ["holder"]);
    assert_eq!(messages(&rows), ["/holder must be a JSON object", "good"]);
}

#[test]
fn a_header_names_each_column_once_and_no_other() {
    let text = "serialNumber,name,serialNumber,holder.,holder.a,holder.a.b\n";
    let problems = head(Format::Csv, text.as_bytes()).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["/name", "/serialNumber", "/holder.", "/holder.a"]);
    assert!(head(Format::Csv, b"serial\xff\n").is_err());
    assert!(head(Format::Csv, b"").is_err());
}

#[test]
fn ragged_long_and_foreign_rows_are_told_and_passed_over() {
    let text = format!("serialNumber,holder.name\nA\nB,b,c\nC,{}\nD,d\n", "x".repeat(ROW_LIMIT));
    let (_, read) = csv(&text);
    let long = format!(" a row may have {ROW_LIMIT} bytes");
    let ragged = |cells| format!(" has {cells} cells, and the header 2");
    assert_eq!(messages(&read), [ragged(1), ragged(3), long.clone(), "good".to_owned()]);
    let text = format!("{{}}\n\n[]\r\n{{\nx{}\n\u{fffd}\n {{\"a\":1}} ", "x".repeat(ROW_LIMIT));
    let mut bytes = text.into_bytes();
    let place = bytes.windows(3).position(|three| three == "\u{fffd}".as_bytes()).unwrap();
    bytes[place] = 0xff;
    let told = messages(&rows(Format::Jsonl, &[], &bytes, Rest::Nothing, 1000));
    assert_eq!(told[..2], ["good", " must be a JSON object"]);
    assert!(told[2].starts_with(" is not JSON"), "{told:?}");
    assert_eq!(told[3..], [long, " is not UTF-8".to_owned(), "good".to_owned()]);
}

#[test]
fn wherever_the_bytes_are_cut_the_rows_are_the_same() {
    let text = "serialNumber,holder.name\r\nA,a\r\nB,\"b\r\n,\"\r\n\r\nC,c\r\nD,\"d\"\r\n";
    let jsonl = "{\"n\":1}\r\n\n{\"n\":2}\n {\"n\":3}\r\n{\"n\":4}\n";
    for (format, text) in [(Format::Csv, text), (Format::Jsonl, jsonl)] {
        let head = head(format, text.as_bytes()).unwrap();
        let all = &text.as_bytes()[head.length..];
        let whole = values(rows(format, &head.columns, all, Rest::Nothing, 1000));
        assert_eq!(whole.len(), 4);
        for window in 14..all.len() {
            for most in [1, 3, 1000] {
                let (mut place, mut read) = (0, Vec::new());
                while place < all.len() {
                    let end = all.len().min(place + window);
                    let rest = if end == all.len() { Rest::Nothing } else { Rest::Follows };
                    let some = rows(format, &head.columns, &all[place..end], rest, most);
                    assert!(some.length > 0, "stuck at {place} with {window}");
                    place += some.length;
                    read.extend(values(some));
                }
                assert_eq!(read, whole, "{window} {most}");
            }
        }
        assert_eq!(count(format, all), 4);
    }
}
