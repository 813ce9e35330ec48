from alembic import context
from sqlalchemy import create_engine

# Without a host, libpq reads the PG* variables.
with create_engine("postgresql://").connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
