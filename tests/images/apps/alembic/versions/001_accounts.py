from alembic import op

revision = "001"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL)")
    op.execute("CREATE TABLE steps (step text, by text)")
    op.execute("INSERT INTO accounts SELECT id, 0 FROM generate_series(1, 100) AS id")
    op.execute("INSERT INTO steps VALUES ('001', current_setting('application_name'))")
