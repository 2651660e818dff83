//! Cases of [`ports::IdentityProvider`], [`ports::TokenVerifier`], [`ports::Sessions`] and [`ports::MultiFactor`].

mod account;
mod codes;
mod lockout;
mod multi_factor;
mod roles;
mod session;
mod session_list;
mod sign_up;
mod token;

use domain::ids::UserId;
use ports::{
    Denial, Email, ErrorKind, NewUser, Profile, Result, SignIn, SignInContext, Tokens, VerifiedToken, denial,
};
use secrecy::{ExposeSecret as _, SecretString};

pub use self::{
    account::*, codes::*, lockout::*, multi_factor::*, roles::*, session::*, session_list::*, sign_up::*,
    token::*,
};
use crate::{IdentityFixture, support::unique};

/// One test per case on the provider of `$fixture`, a future of an [`IdentityFixture`](crate::IdentityFixture).
#[macro_export]
macro_rules! identity {
    ($($fixture:tt)+) => {
        $crate::tests_of! { identity [
            // Signing up and in.
            who_signed_up_can_sign_in_and_gets_tokens_of_their_own,
            an_address_signs_in_in_any_case,
            a_second_sign_up_with_an_address_is_a_conflict,
            of_sign_ups_that_race_for_an_address_one_succeeds,
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
            the_list_of_sessions_says_where_someone_is_signed_in,
            the_list_holds_no_session_that_ended,
            the_list_of_an_unknown_user_is_empty,
            ending_all_sessions_spares_the_excepted_one_and_other_users,
            a_session_that_is_not_used_ends_and_a_remembered_one_later,
            // Second factors.
            a_sign_in_with_a_second_factor_is_challenged_and_a_code_answers,
            a_code_works_once,
            a_recovery_code_answers_and_works_once,
            a_set_up_that_was_not_verified_asks_nobody,
            a_second_set_up_replaces_the_first,
            verifying_needs_a_set_up_and_a_right_code,
            setting_up_twice_is_a_conflict,
            five_wrong_answers_end_a_challenge_and_lock_the_account,
            the_right_password_does_not_set_back_the_wrong_codes,
            a_challenge_ends_after_five_minutes,
            a_challenge_works_once,
            what_is_no_challenge_is_not_answered,
            ending_all_sessions_ends_challenges,
            disabling_takes_a_code_or_a_recovery_code,
            an_operator_removes_a_second_factor_without_a_code,
            second_factors_of_an_unknown_user_are_not_found,
            a_second_factor_goes_with_its_user,
            // Accounts.
            find_returns_the_profile_at_an_address,
            every_change_makes_another_version,
            an_update_of_another_version_is_a_conflict,
            new_roles_end_the_sessions_and_are_in_later_tokens,
            roles_that_do_not_go_together_are_invalid,
            profile_returns_what_sign_up_stored,
            update_changes_what_it_names_and_nothing_else,
            a_new_address_is_unconfirmed_and_replaces_the_old_one,
            changing_the_address_to_a_taken_one_is_a_conflict,
            the_profile_of_an_unknown_user_is_none,
            changing_an_unknown_user_is_not_found,
            a_disabled_user_is_shut_out,
            enabling_lets_the_user_in_again,
            a_deleted_user_is_gone,
            the_address_of_a_deleted_user_can_sign_up_again,
            deleting_twice_succeeds,
            // Lockout.
            five_failures_in_a_row_lock_the_account,
            a_lock_ends_when_it_says,
            a_success_begins_the_count_anew,
            a_lock_shuts_out_one_account_only,
            many_failures_from_one_network_address_lock_it_for_every_account,
            a_success_does_not_set_back_the_count_of_a_network_address,
            // Tokens.
            an_access_token_verifies_and_names_its_user_and_session,
            a_refreshed_access_token_verifies,
            an_access_token_is_not_valid_after_its_end,
            a_token_changed_in_any_bit_is_not_valid,
            a_token_without_its_own_signature_is_not_valid,
            a_token_of_the_algorithm_none_is_not_valid,
            a_token_signed_with_the_public_key_as_a_secret_is_not_valid,
            a_refresh_token_is_no_access_token,
            what_is_no_token_is_not_valid,
            a_token_from_before_a_key_rotation_verifies_until_it_ends,
            the_published_keys_have_no_private_part,
        ] $($fixture)+ }
    };
}

const PASSWORD: &str = "correct horse battery";

/// Someone who signed up.
struct Person {
    user_id: UserId,
    email: Email,
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

fn fresh_email() -> Email {
    Email::parse(&format!("{}@example.org", unique().simple())).unwrap()
}

fn new_user(email: &Email, password: &str) -> NewUser {
    let display_name = Some("Anna".to_owned());
    NewUser { user_id: UserId(unique()), email: email.clone(), password: secret(password), display_name }
}

/// Asserts that `result` is denied for the reason `expected`, as a denial and nothing else.
#[track_caller]
fn assert_denied<T>(result: Result<T>, expected: Denial) {
    let Err(error) = result else { panic!("{expected:?} was expected, and it succeeded") };
    assert_eq!((error.kind(), denial(&error)), (ErrorKind::PermissionDenied, Some(expected)));
}

impl IdentityFixture {
    async fn sign_up(&self) -> (Person, Profile) {
        let user = new_user(&fresh_email(), PASSWORD);
        let email = user.email.clone();
        let profile = self.identity.sign_up(user).await.unwrap();
        (Person { user_id: profile.user_id, email }, profile)
    }

    async fn code(&self, person: &Person) -> String {
        self.mailbox.latest_code(&person.email).await.expect("a code was mailed")
    }

    /// Someone who signed up and confirmed their address.
    async fn person(&self) -> Person {
        let (person, _) = self.sign_up().await;
        self.identity.confirm(&person.email, &self.code(&person).await).await.unwrap();
        person
    }

    async fn try_sign_in(&self, person: &Person, password: &str) -> Result<SignIn> {
        self.identity.sign_in(&person.email, &secret(password), &SignInContext::default()).await
    }

    async fn sign_in_from(&self, person: &Person, from: &SignInContext) -> Result<SignIn> {
        self.identity.sign_in(&person.email, &secret(PASSWORD), from).await
    }

    async fn sign_in(&self, person: &Person) -> Tokens {
        self.sign_in_with(person, PASSWORD).await
    }

    async fn sign_in_with(&self, person: &Person, password: &str) -> Tokens {
        match self.try_sign_in(person, password).await.unwrap() {
            SignIn::Tokens(tokens) => tokens,
            SignIn::Challenge { kind, .. } => panic!("{kind:?} is asked of a new user"),
        }
    }

    async fn verify(&self, tokens: &Tokens) -> Result<VerifiedToken> {
        self.verifier.verify(tokens.access_token.expose_secret()).await
    }

    async fn refresh(&self, tokens: &Tokens) -> Result<Tokens> {
        self.identity.refresh(&tokens.refresh_token, None).await
    }

    /// Asserts that neither of the tokens is worth anything any more.
    async fn assert_ended(&self, tokens: &Tokens) {
        assert_denied(self.verify(tokens).await, Denial::InvalidToken);
        assert_denied(self.refresh(tokens).await, Denial::InvalidToken);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_list() {
        crate::support::assert_all_listed(
            include_str!("identity.rs"),
            &[
                include_str!("identity/account.rs"),
                include_str!("identity/codes.rs"),
                include_str!("identity/lockout.rs"),
                include_str!("identity/multi_factor.rs"),
                include_str!("identity/roles.rs"),
                include_str!("identity/session.rs"),
                include_str!("identity/session_list.rs"),
                include_str!("identity/sign_up.rs"),
                include_str!("identity/token.rs"),
            ],
        );
    }
}
