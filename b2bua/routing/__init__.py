"""Carriers, gateways, routes and DIDs: the models of their forms, and the SQL that writes them.

Panel and command line take the same models (`carrier`, `gateway`, `route`, `did`), so that a rule stands once and is
refused everywhere in the same words. Models read texts as people type them and give the values of columns; `store` lays
those over rows, `removal` says what stands against a deletion. Left out: how a call finds its way by them, which is
`b2bua.policy`'s.
"""
