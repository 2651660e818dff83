//! The promises of the ports on cognito-local. Each case of `conformance::identity!` is in one of these lists.

use super::fixture::{identity_fixture, locking_fixture};

mod identity {
    use super::identity_fixture;

    conformance::tests_of! { identity [
        // Signing up and in.
        who_signed_up_can_sign_in_and_gets_tokens_of_their_own,
        an_address_signs_in_in_any_case,
        a_second_sign_up_with_an_address_is_a_conflict,
        a_password_under_8_characters_is_invalid,
        a_wrong_password_and_an_unknown_address_are_the_same_denial,
        the_address_itself_is_no_password,
        // Codes.
        sign_in_before_confirmation_is_denied_as_not_verified,
        an_unconfirmed_address_with_a_wrong_password_is_wrong_credentials,
        the_mailed_code_confirms,
        a_wrong_code_does_not_confirm,
        the_code_of_another_address_does_not_confirm,
        a_resent_code_confirms,
        resend_for_an_unknown_address_succeeds_and_mails_nothing,
        forgot_succeeds_for_any_address,
        reset_sets_the_password_and_ends_all_sessions,
        a_reset_code_works_once,
        a_wrong_reset_code_changes_nothing,
        // Sessions.
        refresh_answers_new_tokens_of_the_same_user_and_session,
        a_spent_refresh_token_ends_its_session_when_used_again,
        a_spent_refresh_token_leaves_other_sessions_alone,
        a_trade_whose_reply_got_lost_is_answered_again,
        a_trade_is_not_answered_again_to_who_cannot_name_it,
        copies_of_one_trade_at_once_get_the_same_refresh_token,
        of_refreshes_that_race_at_most_one_succeeds_and_the_session_ends,
        what_is_no_refresh_token_does_not_refresh,
        sign_out_ends_the_session_and_no_other,
        signing_out_twice_succeeds,
        nobody_signs_out_another_users_session,
        the_list_of_an_unknown_user_is_empty,
        ending_all_sessions_spares_the_excepted_one_and_other_users,
        // Second factors.
        a_set_up_that_was_not_verified_asks_nobody,
        verifying_needs_a_set_up_and_a_right_code,
        second_factors_of_an_unknown_user_are_not_found,
        // Accounts.
        find_returns_the_profile_at_an_address,
        every_change_makes_another_version,
        an_update_of_another_version_is_a_conflict,
        new_roles_end_the_sessions_and_are_in_later_tokens,
        roles_that_do_not_go_together_are_invalid,
        profile_returns_what_sign_up_stored,
        update_changes_what_it_names_and_nothing_else,
        changing_the_address_to_a_taken_one_is_a_conflict,
        the_profile_of_an_unknown_user_is_none,
        changing_an_unknown_user_is_not_found,
        a_disabled_user_is_shut_out,
        enabling_lets_the_user_in_again,
        a_deleted_user_is_gone,
        the_address_of_a_deleted_user_can_sign_up_again,
        deleting_twice_succeeds,
        // Tokens.
        an_access_token_verifies_and_names_its_user_and_session,
        a_refreshed_access_token_verifies,
        a_token_changed_in_any_bit_is_not_valid,
        a_token_without_its_own_signature_is_not_valid,
        a_token_of_the_algorithm_none_is_not_valid,
        a_token_signed_with_the_public_key_as_a_secret_is_not_valid,
        a_refresh_token_is_no_access_token,
        what_is_no_token_is_not_valid,
        the_published_keys_have_no_private_part,
    ] identity_fixture(false) }

    // These move the clock, and so need a server of their own.
    conformance::tests_of! { identity [
        the_list_of_sessions_says_where_someone_is_signed_in,
        the_list_holds_no_session_that_ended,
        a_session_that_is_not_used_ends_and_a_remembered_one_later,
        a_sign_in_with_a_second_factor_is_challenged_and_a_code_answers,
        a_second_set_up_replaces_the_first,
        setting_up_twice_is_a_conflict,
        a_challenge_ends_after_five_minutes,
        what_is_no_challenge_is_not_answered,
        ending_all_sessions_ends_challenges,
        a_second_factor_goes_with_its_user,
        an_access_token_is_not_valid_after_its_end,
    ] identity_fixture(true) }
}

/// With the locks that the composition root adds: Cognito counts failures by its own rule, and knows no network addresses.
mod locking {
    use super::locking_fixture;

    conformance::tests_of! { identity [
        five_wrong_answers_end_a_challenge_and_lock_the_account,
        the_right_password_does_not_set_back_the_wrong_codes,
        five_failures_in_a_row_lock_the_account,
        a_lock_ends_when_it_says,
        a_lock_shuts_out_one_account_only,
    ] locking_fixture(true) }

    conformance::tests_of! { identity [
        a_success_begins_the_count_anew,
        many_failures_from_one_network_address_lock_it_for_every_account,
        a_success_does_not_set_back_the_count_of_a_network_address,
    ] locking_fixture(false) }
}

mod not_shown {
    use super::identity_fixture;

    mod recovery_codes {
        use super::identity_fixture;
        conformance::tests_of! { identity [
            a_recovery_code_answers_and_works_once,
            disabling_takes_a_code_or_a_recovery_code,
        ] identity_fixture(true), ignore = "Cognito has no recovery codes, which this case uses" }
    }

    mod emulator {
        use super::identity_fixture;
        conformance::tests_of! { identity [
            a_code_works_once,
            a_challenge_works_once,
        ] identity_fixture(true), ignore = "cognito-local takes a code of an app again, and an answer to a challenge that was answered" }

        conformance::tests_of! { identity [
            an_operator_removes_a_second_factor_without_a_code,
        ] identity_fixture(true), ignore = "cognito-local cannot turn a second factor off for an operator; on moto it is shown" }

        conformance::tests_of! { identity [
            of_sign_ups_that_race_for_an_address_one_succeeds,
        ] identity_fixture(false), ignore = "cognito-local looks for an address and then takes it, in two steps" }

        conformance::tests_of! { identity [
            a_token_from_before_a_key_rotation_verifies_until_it_ends,
        ] identity_fixture(true), ignore = "a pool rotates its keys by itself, and cognito-local has but one" }
    }

    mod changed_address {
        use super::identity_fixture;
        conformance::tests_of! { identity [
            a_new_address_is_unconfirmed_and_replaces_the_old_one,
        ] identity_fixture(false), ignore = "Cognito lets in who confirmed once, and confirms a new address for who is signed in" }
    }
}

/// A case that is added to the conformance suite must be added here, too.
#[test]
fn every_case_is_in_a_list() {
    let cases = include_str!("../../../../conformance/src/identity.rs");
    let lists = include_str!("conformance.rs");
    let cases = cases.split("$crate::tests_of! { identity [").nth(1).unwrap().split(']').next().unwrap();
    let cases: Vec<_> = cases.lines().map(str::trim).filter(|line| line.ends_with(',')).collect();
    assert!(cases.len() > 70, "{} cases", cases.len());
    for case in cases {
        let times = lists.lines().filter(|line| line.trim() == case).count();
        assert_eq!(times, 1, "{case}");
    }
}
