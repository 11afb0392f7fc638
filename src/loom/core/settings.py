"""Every setting of Loom, in one class. The only place that reads the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from `LOOM_*` variables; the command line overrides some. Made once, by the CLI or the app factory."""

    model_config = SettingsConfigDict(env_prefix="LOOM_", extra="ignore", env_ignore_empty=True)

    # where things are
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL to use, as a libpq URL; a socket folder may be the host. Empty: the embedded server.",
    )
    data_dir: Path = Field(
        Path(".loom"), description="Folder for the embedded database, keys, the mail outbox and files."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: str | None = Field(
        None, description="Address that people reach Loom under, for links in mail. Empty: made of host and port."
    )
    app_url: str | None = Field(
        None,
        description="Front end that people use: mail and notices about a message link to its "
        "`/conversations/<id>`. Empty: they carry no link.",
    )
    cors_origins: list[str] = Field(
        [], description="Front ends on other origins that may call the API, as a JSON list of origins."
    )
    trusted_proxies: list[str] = Field(
        [], description="Addresses of proxies whose X-Forwarded-For is believed, as a JSON list."
    )

    # database connections
    pool_min_size: int = Field(1, ge=0, description="Connections kept open.")
    pool_max_size: int = Field(10, ge=1, description="Connections open at most, apart from the hot ones.")
    hot_pool_max_size: int = Field(
        4, ge=1, description="Connections for hot reads at most, and as many for sending messages."
    )
    pool_timeout_seconds: float = Field(
        3.0, gt=0, description="How long a request waits for a connection before it answers 503."
    )
    statement_timeout_ms: int = Field(15_000, ge=0, description="Longest statement of the application; 0 is no limit.")
    idle_in_transaction_timeout_ms: int = Field(
        15_000, ge=0, description="Longest pause inside a transaction before PostgreSQL ends it; 0 is no limit."
    )
    lock_timeout_ms: int = Field(5_000, ge=0, description="Longest wait for a lock; 0 is no limit.")

    # tokens
    access_token_minutes: int = Field(15, ge=1, description="Life of an access token of Loom's own issuer.")
    refresh_token_days: int = Field(30, ge=1, description="Life of a sign-in without use.")
    supabase_jwt_secret: SecretStr | None = Field(
        None, description="Secret of a Supabase project (HS256). Set: its tokens are accepted, and Loom issues none."
    )
    supabase_jwks_url: str | None = Field(
        None,
        description="Key set of a Supabase project or other issuer. Set: its tokens are accepted, Loom issues none.",
    )
    supabase_issuer: str | None = Field(None, description="Issuer that a Supabase token must name. Empty: not checked.")
    supabase_audience: str = Field("authenticated", description="Audience that a Supabase token must name.")
    allow_sign_up: bool = Field(True, description="Whether people may make themselves an account.")

    # mail and push
    smtp_url: SecretStr | None = Field(
        None, description="Mail server: smtp://user:password@host:587 (STARTTLS) or smtps://…:465. Empty: local outbox."
    )
    mail_from: str = Field("Loom <loom@localhost>", description="Sender of mail.")
    bounce_address: str | None = Field(
        None,
        description="Sender on the envelope of mail, where servers report what they could not deliver; pipe what "
        "arrives there into `loom bounces`. Empty: the address of mail_from.",
    )
    missed_message_seconds: float = Field(
        120.0,
        ge=0,
        description="How long a message waits to be read before a mail tells of it. What waits with it in the same "
        "conversation goes into the same mail.",
    )
    templates_dir: Path | None = Field(
        None,
        description="Folder with mails in words of your own, such as `notice.en.txt`. Empty: Loom's words.",
    )
    push_contact: str = Field(
        "mailto:loom@localhost",
        pattern=r"^(mailto:[^@\s]+@(localhost|[\w-]+(\.[\w-]+)+)|https://[\w-]+(\.[\w-]+)+)$",
        description="Contact that push services are told (VAPID), such as `mailto:admin@example.org` or `https://example.org`.",
    )
    push_allow_private: bool = Field(
        False, description="Whether push endpoints on loopback and private addresses are allowed (demo and tests)."
    )

    # files
    storage_url: str | None = Field(
        None,
        description="Bucket for attachments: s3://bucket/prefix?endpoint=https://s3.example.com&region=name. "
        "Empty: the data folder.",
    )
    storage_access_key: SecretStr | None = Field(None, description="Access key of the bucket.")
    storage_secret_key: SecretStr | None = Field(None, description="Secret key of the bucket.")
    max_upload_bytes: int = Field(26_214_400, ge=1024, le=536_870_912, description="Largest attachment.")
    scan_command: list[str] = Field(
        [],
        description="Scanner of attachments, as a JSON list: gets the file's path as its last argument and ends with 0 "
        "(clean) or 1 (infected); anything else is tried again. Empty: nothing is scanned, and uploads say so.",
    )

    # payments
    sandbox_url: str | None = Field(
        None, description="Address of a sandbox gateway (`loom sandbox`). Empty: practices can't open sandbox accounts."
    )
    secrets_key: SecretStr | None = Field(
        None,
        description="Key that seals the secrets of gateways in the database (Fernet; of several with commas the first "
        "seals, all open). Empty: a file in the keys folder, made at the first use.",
    )
    stripe_url: str | None = Field(
        None, description="Address of Stripe's API, for tests against a stand-in. Empty: Stripe's own."
    )
    tranzila_url: str | None = Field(
        None,
        description="Address of a stand-in for Tranzila, such as the sandbox's `/tranzila`. Empty: Tranzila's own.",
    )
    tranzila_time_unit: Literal["seconds", "milliseconds"] = Field(
        "seconds", description="Unit of the time in Tranzila's signed headers; its documentation says both."
    )
    tranzila_nonce_bytes: int = Field(
        40, ge=32, le=64, description="Random bytes in Tranzila's signed headers, sent as twice as many hex digits."
    )
    gateway_timeout_seconds: float = Field(
        10.0, gt=0, description="How long an answer of a payment gateway is waited for; then it is looked up later."
    )

    # behaviour
    rate_limits: bool = Field(True, description="Whether sign-in and public routes refuse too many requests.")
    metrics: bool = Field(False, description="Whether /metrics answers, to anyone who can reach it.")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest request body.")
    live_max_streams: int = Field(10_000, ge=1, description="Live streams that one process holds open at most.")
    live_log_days: int = Field(
        7, ge=1, description="How long a live stream may be away and still go on where it was; then it starts anew."
    )
    worker_concurrency: int = Field(4, ge=1, description="Jobs that one worker runs at the same time.")
    stalled_job_seconds: float = Field(
        30.0, gt=0, description="Silence of a worker after which its jobs are given to others."
    )
    default_locale: Literal["en", "he"] = Field("en", description="Language of accounts that the operator makes.")
    default_timezone: str = Field("Asia/Jerusalem", description="Zone of accounts that the operator makes.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="How log lines look.")

    @property
    def keys_dir(self) -> Path:
        """Generated keys and passwords, private to the user who runs Loom."""
        return self.data_dir / "keys"

    @property
    def outbox_dir(self) -> Path:
        """Mail that is not sent but kept, where no mail server is set."""
        return self.data_dir / "outbox"

    @property
    def files_dir(self) -> Path:
        """Attachments and documents."""
        return self.data_dir / "files"

    @property
    def base_url(self) -> str:
        """Address that links are built on, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"
