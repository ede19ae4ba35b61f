"""Customers and what belongs to them, and what they pay: the models of their forms, and the SQL that writes them.

Panel, command line and import take the same models (`customer`, `device`, `payment`, `tariff`), so that a rule stands
once and is refused everywhere in the same words. Models read texts as people type them and give the values of columns;
`store` and `pricing` lay those over rows. Left out: who may change what, which is the panel's, and the syntax of number
rules, which is `b2bua.policy.numbers`.
"""
