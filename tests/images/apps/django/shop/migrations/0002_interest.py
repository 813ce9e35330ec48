from django.db import migrations

CHANGE = """
UPDATE accounts SET balance = balance + 10;
SELECT pg_sleep(1.5);
INSERT INTO steps VALUES ('002', current_setting('application_name'));
"""


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_accounts")]
    operations = [migrations.RunSQL(CHANGE)]
