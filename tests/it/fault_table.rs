//! Each case of the table of faults as a test of its own; `fetcher/FAULTS.md` is the same table for people.

use std::collections::BTreeSet;

use plimsoll_tests::faults;

/// Makes a test of each name, and knows them all.
macro_rules! tests {
    ($(fn $name:ident();)*) => {
        $(
            #[test]
            fn $name() {
                let case = faults::cases().into_iter().find(|case| case.name == stringify!($name));
                faults::run(&case.expect("the table has a case of this name")).assert();
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

#[test]
fn every_case_of_the_table_has_a_test() {
    let cases: Vec<_> = faults::cases().into_iter().map(|case| case.name).collect();
    let (named, there): (BTreeSet<_>, BTreeSet<_>) =
        (NAMES.iter().copied().collect(), cases.iter().map(String::as_str).collect());
    assert_eq!(there.len(), cases.len(), "a name is there twice");
    let missing: Vec<_> = there.difference(&named).map(|name| format!("    fn {name}();")).collect();
    assert!(missing.is_empty(), "expected these among the tests:\n{}", missing.join("\n"));
    assert!(named.is_subset(&there), "these tests have no case: {:?}", named.difference(&there));
}

tests! {
    fn http_accepted();
    fn http_always_busy();
    fn http_always_reset();
    fn http_always_stalled();
    fn http_answer_that_is_not_http();
    fn http_bad_gateway_always();
    fn http_broken_for_a_while();
    fn http_busy();
    fn http_busy_for_a_second();
    fn http_busy_for_garbage();
    fn http_busy_for_less_than_nothing();
    fn http_busy_for_ten_years();
    fn http_busy_until_another_life();
    fn http_busy_until_long_ago();
    fn http_closed_before_the_answer();
    fn http_closed_in_the_head();
    fn http_denied_in_the_middle();
    fn http_document_always_cut();
    fn http_document_cut();
    fn http_document_in_chunks_without_end();
    fn http_document_of_nothing();
    fn http_document_of_something_else();
    fn http_document_shortened();
    fn http_document_that_drips();
    fn http_document_without_end();
    fn http_file_accepted();
    fn http_file_no_content();
    fn http_file_other_size();
    fn http_file_overwritten_in_the_middle();
    fn http_file_part_of_an_unknown_whole();
    fn http_flipped_bit();
    fn http_gone_in_the_middle();
    fn http_header_of_a_megabyte();
    fn http_headers_without_end();
    fn http_length_too_long();
    fn http_length_too_short();
    fn http_no_content();
    fn http_no_etag();
    fn http_other_size();
    fn http_overwritten_in_the_middle();
    fn http_part_as_a_whole();
    fn http_part_of_a_document();
    fn http_range_always_to_elsewhere();
    fn http_range_missing();
    fn http_range_of_garbage();
    fn http_range_to_elsewhere();
    fn http_redirect_loop();
    fn http_redirect_to_a_local_file();
    fn http_redirect_to_another_host();
    fn http_reset_before_the_answer();
    fn http_reset_in_the_body();
    fn http_reset_in_the_head();
    fn http_slow_drip();
    fn http_slow_drip_for_ever();
    fn http_stall_before_the_answer();
    fn http_stall_in_the_body();
    fn http_throttled();
    fn http_too_short_for_the_range();
    fn http_weak_etag();
    fn http_whole_file_for_a_range();
    fn mlflow_answer_cut();
    fn mlflow_answer_of_a_failure();
    fn mlflow_answer_shortened();
    fn mlflow_answer_without_end();
    fn mlflow_body_always_cut();
    fn mlflow_body_cut();
    fn mlflow_body_in_chunks_cut();
    fn mlflow_body_shortened();
    fn mlflow_folders_without_end();
    fn mlflow_headers_without_end();
    fn mlflow_listing_of_something_else();
    fn mlflow_path_that_climbs();
    fn mlflow_redirect_to_another_host();
    fn s3_always_busy();
    fn s3_always_reset();
    fn s3_always_stalled();
    fn s3_answer_that_is_not_http();
    fn s3_bad_gateway_always();
    fn s3_body_cut();
    fn s3_broken_for_a_while();
    fn s3_busy();
    fn s3_busy_for_a_second();
    fn s3_busy_for_garbage();
    fn s3_busy_for_less_than_nothing();
    fn s3_busy_for_ten_years();
    fn s3_busy_until_another_life();
    fn s3_busy_until_long_ago();
    fn s3_closed_before_the_answer();
    fn s3_closed_in_the_head();
    fn s3_denied_in_the_middle();
    fn s3_document_always_cut();
    fn s3_document_cut();
    fn s3_document_in_chunks_without_end();
    fn s3_document_of_nothing();
    fn s3_document_of_something_else();
    fn s3_document_shortened();
    fn s3_document_that_drips();
    fn s3_document_without_end();
    fn s3_flipped_bit();
    fn s3_gone_in_the_middle();
    fn s3_header_of_a_megabyte();
    fn s3_headers_without_end();
    fn s3_length_too_long();
    fn s3_length_too_short();
    fn s3_no_etag();
    fn s3_other_size();
    fn s3_overwritten_in_the_middle();
    fn s3_part_as_a_whole();
    fn s3_part_of_a_document();
    fn s3_prefix_flipped_bit();
    fn s3_prefix_key_from_elsewhere();
    fn s3_prefix_key_of_our_own();
    fn s3_prefix_key_of_two_thousand_bytes();
    fn s3_prefix_key_that_climbs();
    fn s3_prefix_key_that_is_a_folder();
    fn s3_prefix_key_that_is_absolute();
    fn s3_prefix_key_twice();
    fn s3_prefix_key_with_a_control_character();
    fn s3_prefix_listing_cut();
    fn s3_prefix_listing_denied();
    fn s3_prefix_listing_fails_for_a_while();
    fn s3_prefix_listing_in_chunks_without_end();
    fn s3_prefix_listing_of_empty_pages();
    fn s3_prefix_listing_of_something_else();
    fn s3_prefix_listing_shortened();
    fn s3_prefix_listing_that_repeats();
    fn s3_prefix_listing_truncated_without_a_token();
    fn s3_prefix_listing_with_a_larger_size();
    fn s3_prefix_listing_with_another_etag();
    fn s3_prefix_listing_with_another_size();
    fn s3_prefix_listing_without_end();
    fn s3_prefix_lying_checksum();
    fn s3_prefix_no_etag();
    fn s3_prefix_other_size();
    fn s3_prefix_overwritten_in_the_middle();
    fn s3_range_from_elsewhere();
    fn s3_range_missing();
    fn s3_range_to_elsewhere();
    fn s3_redirect_loop();
    fn s3_redirect_to_a_local_file();
    fn s3_redirect_to_another_host();
    fn s3_reset_before_the_answer();
    fn s3_reset_in_the_body();
    fn s3_reset_in_the_head();
    fn s3_said_to_be_encoded();
    fn s3_slow_drip();
    fn s3_slow_drip_for_ever();
    fn s3_stall_before_the_answer();
    fn s3_stall_in_the_body();
    fn s3_throttled();
    fn s3_tls_expired();
    fn s3_tls_other_name();
    fn s3_tls_self_signed();
    fn s3_too_short_for_the_range();
    fn s3_weak_etag();
    fn s3_whole_file_for_a_range();
    fn tls_body_cut();
    fn tls_body_reset();
    fn tls_expired();
    fn tls_flipped_bit();
    fn tls_handshake_always_reset();
    fn tls_handshake_cut();
    fn tls_handshake_reset();
    fn tls_handshake_stalled();
    fn tls_other_name();
    fn tls_self_signed();
}
