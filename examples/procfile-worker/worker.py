import time

print("The worker is at work", flush=True)
beat = 0
while True:
    time.sleep(10)
    beat += 1
    print(f"Beat {beat}")
