from alembic import op

revision = "002"
down_revision = "001"


def upgrade():
    op.execute("UPDATE accounts SET balance = balance + 10")
    op.execute("SELECT pg_sleep(1.5)")
    op.execute("INSERT INTO steps VALUES ('002', current_setting('application_name'))")
