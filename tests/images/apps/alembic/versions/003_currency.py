from alembic import op

revision = "003"
down_revision = "002"


def upgrade():
    op.execute("ALTER TABLE accounts ADD COLUMN currency text NOT NULL DEFAULT 'EUR'")
    op.execute("INSERT INTO steps VALUES ('003', current_setting('application_name'))")
