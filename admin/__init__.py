"""The web panel: pages for operators, resellers and customers, and the answers for monitoring.

`app` wires it, `routes` is the table of every address with its permission, `views/` answers them, `stores/` holds the
SQL, `scope` limits what a login sees, `templates/` and `static/` are what the browser gets.
"""
