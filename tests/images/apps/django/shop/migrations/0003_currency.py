from django.db import migrations

ADD = """
ALTER TABLE accounts ADD COLUMN currency text NOT NULL DEFAULT 'EUR';
INSERT INTO steps VALUES ('003', current_setting('application_name'));
"""


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_interest")]
    operations = [migrations.RunSQL(ADD)]
