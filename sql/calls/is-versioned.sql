SELECT EXISTS (
    SELECT FROM pg_catalog.pg_proc AS function
      JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = function.pronamespace
     WHERE namespace.nspname = $1::pg_catalog.text AND function.proname = 'version' AND function.pronargs = 0) AS versioned
