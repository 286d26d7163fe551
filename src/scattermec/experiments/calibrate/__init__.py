"""The inverse problem: constants, among those that the paper does not give, under which its claims hold."""
