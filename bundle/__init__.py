"""The contract that travels from training to the server and the phone: numpy, pillow and pydantic only."""
